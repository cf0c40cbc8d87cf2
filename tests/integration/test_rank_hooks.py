"""What leaves a rank: checkpoints whose COMMIT comes last, through an outage of the store, and never a torn one."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.driver import rank, retrying
from jobs.driver.attempt import store_of
from jobs.driver.orchestrator_client import OrchestratorClient, Stale
from jobs.driver.rank import RankZeroHooks, Work
from jobs.storage import checkpoints
from jobs.store import StoreError
from jobs.store.s3 import Patience
from jobs.wire import Claim
from tests.support import weed
from tests.support.faults import FaultProxy
from tests.support.orchestrator import Orchestrator
from trainers.loop import Outcome, Tick

SPEC = {
    "kind": "train",
    "name": "shirts",
    "model": {"family": "dcgan"},
    "data": {"source": "shapes"},
    "train": {"checkpoint": {"keep": 2}},
}


@pytest.fixture
def orchestrator() -> Iterator[Orchestrator]:
    server = Orchestrator()
    yield server
    server.stop()


@pytest.fixture
def proxy(s3_server: weed.S3Server) -> Iterator[FaultProxy]:
    proxy = FaultProxy(s3_server.endpoint)
    yield proxy
    proxy.stop()


@pytest.fixture
def hooks(
    orchestrator: Orchestrator, proxy: FaultProxy, s3_server: weed.S3Server, tmp_path: Path
) -> Iterator[RankZeroHooks]:
    env = {**s3_server.env, "AWS_ENDPOINT_URL_S3": proxy.url}
    claim = Claim(
        attempt_id="j-1", number=1, token="t", project="default", job_id=tmp_path.name, job_name="shirts", kind="train",
        spec=SPEC, references={}, workers=1, cpus_per_worker=1, gpus_per_worker=0, secrets={}, heartbeat_seconds=5,
        store={"uri": f"s3://{weed.BUCKET}/hooks", "env": env}, url=orchestrator.url,
    )  # fmt: skip
    work = Work(claim=claim, home=str(tmp_path), resume=None)
    client = OrchestratorClient(orchestrator.url, "j-1", "t")
    yield RankZeroHooks(work, store_of(claim), client)
    client.close()


def local(folder: Path, examples: int) -> Path:
    """A checkpoint as the loop hands it over."""
    target = folder / f"{examples:012d}"
    target.mkdir()
    files = {"generator.safetensors": b"w" * 5000, "state.json": json.dumps({"examples": examples}).encode()}
    import hashlib

    commit = {"files": {n: {"size": len(c), "sha256": hashlib.sha256(c).hexdigest()} for n, c in files.items()}}
    for name, content in {**files, "COMMIT.json": json.dumps(commit).encode()}.items():
        (target / name).write_bytes(content)
    return target


def tick(examples: int) -> Tick:
    return Tick(
        examples=examples, steps=1, total_examples=100, seconds=1.0, examples_per_second=1.0, stats={"loss/generator": 1.0},
        activity_seconds={}, checkpoint_stall_seconds=0.0,
    )  # fmt: skip


def commits(hooks: RankZeroHooks) -> list[int]:
    return [key.examples for key in checkpoints.committed(hooks.store, hooks.job)]


def test_a_commit_is_put_last_and_the_stats_before_it(hooks: RankZeroHooks, proxy: FaultProxy, tmp_path: Path) -> None:
    hooks.tick(tick(10))
    hooks.checkpoint(local(tmp_path, 10), 10)
    puts = [path.split("?")[0].rpartition("/")[2] for method, path in proxy.seen if method == "PUT"]
    assert puts == ["000000000010-a1.jsonl", "generator.safetensors", "state.json", "COMMIT.json"]


def test_old_checkpoints_go_and_the_newest_stay(hooks: RankZeroHooks, tmp_path: Path) -> None:
    for examples in (10, 20, 30):
        hooks.checkpoint(local(tmp_path, examples), examples)
    assert commits(hooks) == [30, 20]
    assert not list(hooks.store.list(hooks.job.checkpoint(10, 1)))


def test_a_stale_attempt_that_goes_back_takes_nothing_of_a_later_one(hooks: RankZeroHooks, tmp_path: Path) -> None:
    for examples in (10, 20):
        hooks.checkpoint(local(tmp_path, examples), examples)
    checkpoints.upload(hooks.store, hooks.job, tmp_path / f"{20:012d}", examples=30, attempt=2)
    hooks.rolled_back(10)
    assert commits(hooks) == [30, 10]


def test_an_outage_is_told_once_and_waited_out(
    hooks: RankZeroHooks, proxy: FaultProxy, orchestrator: Orchestrator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.store.s3.PATIENT", Patience(tries=1, connect=5, read=60))
    hooks.store = store_of(hooks.work.claim)
    failures = iter(["503"] * 4)
    proxy.fault = lambda method, path, number: next(failures, None)
    hooks.checkpoint(local(tmp_path, 10), 10)
    assert commits(hooks) == [10]
    troubles = [event for event in orchestrator.sent("events") if event["type"] == "store_trouble"]
    assert len(troubles) == 1
    assert "SlowDown" in troubles[0]["message"]


def test_a_store_that_stays_away_fails_loudly_and_commits_nothing(
    hooks: RankZeroHooks, proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks.checkpoint(local(tmp_path, 10), 10)
    monkeypatch.setattr(retrying, "STORE_PATIENCE", 0.1)
    monkeypatch.setattr("jobs.store.s3.PATIENT", Patience(tries=1, connect=5, read=60))
    hooks.store = store_of(hooks.work.claim)
    proxy.fault = lambda method, path, number: "503" if method == "PUT" and "COMMIT" in path else None
    with pytest.raises(StoreError):
        hooks.checkpoint(local(tmp_path, 20), 20)
    assert commits(hooks) == [10]


def test_a_commit_names_its_parent_and_the_lineage_is_recorded(
    hooks: RankZeroHooks, orchestrator: Orchestrator, tmp_path: Path
) -> None:
    for examples in (10, 20):
        hooks.checkpoint(local(tmp_path, examples), examples)
    parents = [json.loads(hooks.store.get(hooks.job.checkpoint(n, 1) + "COMMIT.json"))["parent"] for n in (10, 20)]
    assert parents == [None, "000000000010-a1"]
    recorded = orchestrator.sent("lineage")[-1]["checkpoints"]
    assert [entry["folder"] for entry in recorded] == ["000000000020-a1", "000000000010-a1"]
    commit = hooks.store.sha256(hooks.job.checkpoint(20, 1) + "COMMIT.json")
    assert recorded[0]["commit"] == commit


def test_a_stale_attempt_deletes_nothing(hooks: RankZeroHooks, orchestrator: Orchestrator, tmp_path: Path) -> None:
    for examples in (10, 20):
        hooks.checkpoint(local(tmp_path, examples), examples)
    orchestrator.status = 409
    with pytest.raises(Stale):
        hooks.checkpoint(local(tmp_path, 30), 30)
    with pytest.raises(Stale):
        hooks.rolled_back(10)
    assert commits(hooks) == [30, 20, 10]


def test_without_an_orchestrator_training_goes_on_and_nothing_is_deleted_until_it_is_back(
    hooks: RankZeroHooks, orchestrator: Orchestrator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rank, "RECORD_PATIENCE", 0.1)
    orchestrator.status = 503
    for examples in (10, 20, 30):
        hooks.checkpoint(local(tmp_path, examples), examples)
    assert commits(hooks) == [30, 20, 10]
    orchestrator.status = 200
    hooks.finish(Outcome(status="stopped", examples=30, steps=1, checkpoint=None, model=None, grid=None), tmp_path)
    assert [entry["folder"] for entry in orchestrator.sent("lineage")[-1]["checkpoints"]] == [
        "000000000030-a1",
        "000000000020-a1",
    ]
    assert commits(hooks) == [30, 20]


def test_after_a_rollback_the_same_number_of_examples_has_another_key(hooks: RankZeroHooks, tmp_path: Path) -> None:
    for examples in (10, 20):
        hooks.tick(tick(examples))
        hooks.checkpoint(local(tmp_path, examples), examples)
    hooks.rolled_back(10)
    shutil.rmtree(tmp_path / f"{10:012d}")
    hooks.checkpoint(local(tmp_path, 10), 10)
    assert [key.folder for key in checkpoints.committed(hooks.store, hooks.job)] == ["000000000010-a1-r1"]
    assert len([info for info in hooks.store.list(hooks.job.stats_prefix) if info.size]) == 2, "no tick is lost"


def test_a_recorded_commit_that_was_exchanged_is_damaged(hooks: RankZeroHooks, tmp_path: Path) -> None:
    for examples in (10, 20):
        hooks.checkpoint(local(tmp_path, examples), examples)
    commit = hooks.job.checkpoint(20, 1) + "COMMIT.json"
    hooks.store.put(commit, json.dumps(json.loads(hooks.store.get(commit)) | {"parent": "another"}).encode())
    told: list[str] = []
    found = checkpoints.newest(hooks.store, hooks._lineage, tmp_path / "resume", lambda kind, text: told.append(text))
    assert found
    assert (found[0].examples, len(told)) == (10, 1)


def test_a_checkpoint_without_commit_is_never_resumed_from(hooks: RankZeroHooks, tmp_path: Path) -> None:
    hooks.checkpoint(local(tmp_path, 10), 10)
    torn = local(tmp_path, 20)
    hooks.store.put_file(hooks.job.checkpoint(20, 1) + "generator.safetensors", torn / "generator.safetensors")
    found = checkpoints.newest(hooks.store, hooks._lineage, tmp_path / "resume", lambda kind, text: None)
    assert found
    assert found[0].examples == 10


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete", "no json", "path outside"])
def test_a_damaged_checkpoint_is_named_and_passed_over(hooks: RankZeroHooks, tmp_path: Path, damage: str) -> None:
    for examples in (10, 20):
        hooks.checkpoint(local(tmp_path, examples), examples)
    folder, name = hooks.job.checkpoint(20, 1), "generator.safetensors"
    content = hooks.store.get(folder + name)
    if damage == "flip":
        hooks.store.put(folder + name, bytes([content[0] ^ 1]) + content[1:])
    elif damage == "truncate":
        hooks.store.put(folder + name, content[:-1])
    elif damage == "delete":
        hooks.store.delete(folder + name)
    elif damage == "no json":
        hooks.store.put(folder + "COMMIT.json", b"{")
    else:
        hooks.store.put(folder + "COMMIT.json", b'{"files": {"../../outside": {"size": 1, "sha256": "x"}}}')
    told: list[str] = []
    found = checkpoints.newest(hooks.store, hooks._lineage, tmp_path / "resume", lambda kind, text: told.append(text))
    assert found
    assert found[0].examples == 10
    assert len(told) == 1
    assert folder in told[0]
    shutil.rmtree(tmp_path / "resume")
