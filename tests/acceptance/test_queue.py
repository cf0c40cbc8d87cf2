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
train: {examples: EXAMPLES, batch_size: 64, checkpoint: {every: 1M}, grids: {every: 1M, count: 4}}
resources: {workers: 2}
"""


def submit(works: TheWorks, folder: Path, name: str, priority: int, examples: str) -> str:
    text = TRAIN.replace("NAME", name).replace("PRIORITY", str(priority)).replace("EXAMPLES", examples)
    (job_id,) = works.submit(text, folder)
    return job_id


@pytest.fixture(scope="module")
def story(works: TheWorks, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A long job of low priority runs; one of high priority and one more low one come; each needs the whole cluster."""
    folder = tmp_path_factory.mktemp("queue")
    low = submit(works, folder, "low", 10, "60k")
    works.wait(low, lambda job: (job["tick"] or {}).get("examples", 0) > 1000)
    later = submit(works, folder, "later", 10, "640")
    waiting = works.wait(later, lambda job: job["status"] == "QUEUED" and "waiting for" in (job["reason"] or ""))
    high = submit(works, folder, "high", 90, "640")
    jobs = {name: works.wait_ended(job_id) for name, job_id in {"high": high, "low": low, "later": later}.items()}
    return {**jobs, "waiting": waiting["reason"]}


def test_all_of_them_succeed(works: TheWorks, story: dict[str, Any]) -> None:
    for name in ("low", "high", "later"):
        assert story[name]["status"] == "SUCCEEDED", works.story(story[name]["id"])


def test_a_waiting_job_says_for_what(story: dict[str, Any]) -> None:
    assert "CPU" in story["waiting"]


def test_the_lower_one_was_preempted_and_nothing_else(works: TheWorks, story: dict[str, Any]) -> None:
    assert len(story["low"]["attempts"]) == 2
    assert any(event["type"] == "preempted" for event in works.events(story["low"]["id"]))
    assert len(story["high"]["attempts"]) == len(story["later"]["attempts"]) == 1


def test_not_a_step_is_lost(works: TheWorks, story: dict[str, Any]) -> None:
    """It goes on from a checkpoint that was taken where it stopped; no checkpoint was due before."""
    ticks = works.client.get(f"/jobs/{story['low']['id']}/ticks", limit=5000)["ticks"]
    last = max(tick["examples"] for tick in ticks if tick["attempt"] == 1 and "examples" in tick)
    (restored,) = [event for event in works.events(story["low"]["id"]) if event["type"] == "restored"]
    assert f"at {last} examples" in restored["message"]


def test_two_gangs_never_hold_half_of_the_cluster_each(story: dict[str, Any]) -> None:
    attempts = sorted(
        (attempt["created"], attempt["ended"])
        for name in ("low", "high", "later")
        for attempt in story[name]["attempts"]
    )
    assert len(attempts) == 4
    for (_, ended), (begun, _) in pairwise(attempts):
        assert ended <= begun
