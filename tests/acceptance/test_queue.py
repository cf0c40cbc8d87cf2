"""The queue on a real cluster: a gang of higher priority takes the place of a lower one, which returns without a lost step."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.support.works import TheWorks

TRAIN = """\
kind: train
name: NAME
priority: PRIORITY
model: {family: dcgan, params: {base_channels: 4}}
data: {source: shapes, resolution: 16}
train: {examples: EXAMPLES, batch_size: 64, checkpoint: {every: 50M}, grids: {every: 50M, count: 4}}
resources: {workers: 2}
"""


def submit(works: TheWorks, folder: Path, name: str, priority: int, examples: str) -> str:
    text = TRAIN.replace("NAME", name).replace("PRIORITY", str(priority)).replace("EXAMPLES", examples)
    (job_id,) = works.submit(text, folder)
    return job_id


def ticks(works: TheWorks, job_id: str) -> list[dict[str, Any]]:
    return works.client.get(f"/jobs/{job_id}/ticks", limit=5000)["ticks"]


@pytest.fixture(scope="module")
def story(works: TheWorks, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A job of low priority runs, one more waits; one of high priority comes; each needs the whole cluster."""
    folder = tmp_path_factory.mktemp("queue")
    low = submit(works, folder, "low", 10, "50M")  # never through by itself, however fast the machine
    works.wait(low, lambda job: (job["tick"] or {}).get("examples", 0) > 1000)
    later = submit(works, folder, "later", 10, "640")
    waiting = works.wait(later, lambda job: job["status"] == "QUEUED" and "waiting for" in (job["reason"] or ""))
    assert works.ganworks("cancel", later).returncode == 0
    high = submit(works, folder, "high", 90, "640")
    works.wait(low, lambda job: job["attempt"] == 2 and any(tick["attempt"] == 2 for tick in ticks(works, low)))
    assert works.ganworks("cancel", low).returncode == 0
    jobs = {name: works.wait_ended(job_id) for name, job_id in {"high": high, "low": low, "later": later}.items()}
    return {**jobs, "waiting": waiting["reason"]}


def test_each_ends_as_it_was_told(works: TheWorks, story: dict[str, Any]) -> None:
    for name, status in {"high": "SUCCEEDED", "low": "CANCELLED", "later": "CANCELLED"}.items():
        assert story[name]["status"] == status, works.story(story[name]["id"])


def test_a_waiting_job_says_for_what_and_can_be_cancelled(story: dict[str, Any]) -> None:
    assert "CPU" in story["waiting"]
    assert story["later"]["attempts"] == []


def test_the_lower_one_was_preempted_and_nothing_else(works: TheWorks, story: dict[str, Any]) -> None:
    assert len(story["low"]["attempts"]) == 2
    assert any(event["type"] == "preempted" for event in works.events(story["low"]["id"]))
    assert len(story["high"]["attempts"]) == 1


def test_not_a_step_is_lost(works: TheWorks, story: dict[str, Any]) -> None:
    """It goes on from a checkpoint that was taken where it stopped; no checkpoint was due before."""
    last = max(
        tick["examples"] for tick in ticks(works, story["low"]["id"]) if tick["attempt"] == 1 and "examples" in tick
    )
    (restored,) = [event for event in works.events(story["low"]["id"]) if event["type"] == "restored"]
    assert f"at {last} examples" in restored["message"]


def test_two_gangs_never_hold_half_of_the_cluster_each(story: dict[str, Any]) -> None:
    attempts = sorted(
        (attempt["created"], attempt["ended"]) for name in ("low", "high") for attempt in story[name]["attempts"]
    )
    assert len(attempts) == 3
    for (_, ended), (begun, _) in pairwise(attempts):
        assert ended <= begun
