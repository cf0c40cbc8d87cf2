"""Whatever is killed, the job goes on from its newest COMMIT, and ends as if nothing had happened: to the byte."""

import hashlib
import json
import re
import signal
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
from safetensors.numpy import load

from jobs.storage.layout import parse_commit_key
from tests.support.works import PATIENCE, TheWorks

TRAIN = """\
kind: train
name: NAME
model: {family: dcgan, params: {base_channels: 8, ema: {half_life: 500}}}
data: {source: fashion-mnist, resolution: 32}
train: {examples: 40k, batch_size: 64, seed: 3, checkpoint: {every: 2k, keep: 3}, grids: {every: 40k, count: 16}}
resources: {workers: 2}
retry: {limit: 6, backoff: 1s}
"""


def prefix(job: dict[str, Any]) -> str:
    return f"default/{job['name']}/{job['id']}/"


def committed(works: TheWorks, job: dict[str, Any], attempt: int) -> list[int]:
    """Examples of the checkpoints that an attempt has committed."""
    found = [parse_commit_key(info.key) for info in works.store.list(f"{prefix(job)}checkpoints/")]
    return [key.examples for key in found if key and key.attempt == attempt]


def wait_for_checkpoint(works: TheWorks, job_id: str, attempt: int) -> dict[str, Any]:
    """Until this attempt trains and has committed something of its own."""
    return works.wait(job_id, lambda job: job["attempt"] == attempt and committed(works, job, attempt))


def weights(works: TheWorks, job: dict[str, Any]) -> dict[str, str]:
    content = load(works.store.get(f"{prefix(job)}model/generator.safetensors"))
    return {name: hashlib.sha256(value.tobytes()).hexdigest() for name, value in content.items()}


def stats(works: TheWorks, job: dict[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in works.store.get(f"{prefix(job)}stats.jsonl").splitlines()]


@pytest.fixture(scope="module")
def undisturbed(works: TheWorks, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A run whose orchestrator is killed in the middle; its training knows nothing of it."""
    (job_id,) = works.submit(TRAIN.replace("NAME", "calm"), tmp_path_factory.mktemp("calm"))
    wait_for_checkpoint(works, job_id, 1)
    works.kill_server()
    job = works.wait_ended(job_id)
    assert job["status"] == "SUCCEEDED", works.story(job_id)
    return job


def test_training_goes_on_without_its_orchestrator_and_is_adopted(works: TheWorks, undisturbed: dict[str, Any]) -> None:
    assert [attempt["number"] for attempt in undisturbed["attempts"]] == [1]
    ticks = works.client.get(f"/jobs/{undisturbed['id']}/ticks", limit=5000)["ticks"]
    posted = [tick["examples"] for tick in ticks if tick.get("phase") == "training"]
    assert posted == [row["examples"] for row in stats(works, undisturbed)], "a tick is missing, or came twice"


@pytest.fixture(scope="module")
def disturbed(works: TheWorks, undisturbed: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The same run: a rank is killed, then its driver, then its driver is stopped, then all of Ray is killed and a checkpoint torn."""
    (job_id,) = works.submit(TRAIN.replace("NAME", "stormy"), tmp_path_factory.mktemp("stormy"))
    wait_for_checkpoint(works, job_id, 1)
    works.ranks()[0].send_signal(signal.SIGKILL)
    wait_for_checkpoint(works, job_id, 2)
    works.driver(f"{job_id}-2").send_signal(signal.SIGKILL)
    wait_for_checkpoint(works, job_id, 3)
    stopped = works.driver(f"{job_id}-3")
    stopped.send_signal(signal.SIGSTOP)
    works.wait(job_id, lambda job: job["attempt"] == 4)
    _wake(stopped)
    wait_for_checkpoint(works, job_id, 4)
    works.kill_ray()
    torn = tear_newest_checkpoint(works, works.job(job_id))
    job = works.wait_ended(job_id)
    assert job["status"] == "SUCCEEDED", works.story(job_id)
    return {**job, "torn": torn}


def tear_newest_checkpoint(works: TheWorks, job: dict[str, Any]) -> int:
    """Cut a file of it short, as a disk that lies does; returns its examples."""
    newest = max(committed(works, job, 4))
    key = f"{prefix(job)}checkpoints/{newest:012d}-a4/generator.safetensors"
    works.store.put(key, works.store.get(key)[:-100])
    return newest


def _wake(process: psutil.Process) -> None:
    """SIGCONT, if it was left alive; then it must leave by itself."""
    try:
        process.send_signal(signal.SIGCONT)
        process.wait(timeout=PATIENCE)
    except psutil.NoSuchProcess:
        pass


def test_each_loss_is_seen_named_and_answered_by_one_new_attempt(works: TheWorks, disturbed: dict[str, Any]) -> None:
    attempts = disturbed["attempts"]
    assert [attempt["number"] for attempt in attempts] == [1, 2, 3, 4, 5], works.story(disturbed["id"])
    assert [attempt["status"] in ("LOST", "FAILED") for attempt in attempts] == [True, True, True, True, False]
    assert attempts[0]["failure"] == "lost"
    assert "worker" in attempts[0]["message"]
    assert all(attempt["message"] for attempt in attempts[:4])


def test_no_attempt_begins_before_the_last_one_is_over(disturbed: dict[str, Any]) -> None:
    attempts = disturbed["attempts"]
    for before, after in pairwise(attempts):
        assert before["ended"] <= after["created"]


def test_each_attempt_goes_on_from_the_newest_checkpoint(works: TheWorks, disturbed: dict[str, Any]) -> None:
    resumed = [event for event in works.events(disturbed["id"]) if event["type"] == "restored"]
    positions = [int(event["message"].split(" at ")[1].split()[0]) for event in resumed]
    assert len(positions) == 4
    assert positions[:3] == sorted(positions[:3])
    assert positions[0] >= 2000


def test_a_truncated_checkpoint_is_named_and_the_older_one_used(works: TheWorks, disturbed: dict[str, Any]) -> None:
    events = works.events(disturbed["id"])
    (damaged,) = [event["message"] for event in events if event["type"] == "checkpoint_damaged"]
    assert "generator.safetensors" in damaged
    assert f"{disturbed['torn']:012d}-a4" in damaged
    (*_, last) = [event["message"] for event in events if event["type"] == "restored"]
    found = re.fullmatch(r"from the checkpoint at (\d+) examples, of attempt (\d)", last)
    assert found, last
    assert (int(found[1]), int(found[2])) < (disturbed["torn"], 4)


def test_the_weights_are_those_of_the_undisturbed_run(
    works: TheWorks, undisturbed: dict[str, Any], disturbed: dict[str, Any]
) -> None:
    assert weights(works, disturbed) == weights(works, undisturbed)


def test_the_stats_are_whole(works: TheWorks, disturbed: dict[str, Any]) -> None:
    examples = [row["examples"] for row in stats(works, disturbed)]
    assert examples == sorted(set(examples))
    assert examples[-1] == 40_000


def test_no_rank_is_left(works: TheWorks, disturbed: dict[str, Any]) -> None:
    works.wait_for(lambda: not works.ranks())


GENERATE = """\
kind: generate
name: interrupted
model: {from: calm}
samples: 12k
output: {samples_per_shard: 500}
resources: {workers: 2}
retry: {backoff: 1s}
"""


def test_a_killed_generation_writes_only_what_is_missing(
    works: TheWorks, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    (job_id,) = works.submit(GENERATE, tmp_path)
    job = works.wait(job_id, lambda job: len(list(works.store.list(f"{prefix(job)}receipts/"))) >= 3)
    works.driver(f"{job_id}-1").send_signal(signal.SIGKILL)
    time.sleep(1)
    before = {info.key: info.modified for info in works.store.list(f"{prefix(job)}receipts/")}
    job = works.wait_ended(job_id)
    assert job["status"] == "SUCCEEDED", works.story(job_id)
    receipts = [json.loads(works.store.get(info.key)) for info in works.store.list(f"{prefix(job)}receipts/")]
    assert [receipt["shard"] for receipt in receipts] == list(range(24))
    assert sum(receipt["count"] for receipt in receipts) == 12_000
    after = {info.key: info.modified for info in works.store.list(f"{prefix(job)}receipts/")}
    assert {key: after[key] for key in before} == before, "a finished shard was written again"
    assert {receipt["attempt"] for receipt in receipts} == {1, 2}
    data = [info.key for info in works.store.list(f"{prefix(job)}data/")]
    assert len(data) == 24
