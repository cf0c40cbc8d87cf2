"""Receipts prove shards: first come, first kept, and what is none is put aside and its shard made again."""

import json
from pathlib import Path

import pytest

from jobs.driver.receipts import commit_shard, files_of, read_all
from jobs.sinks import Written
from jobs.storage.layout import Layout
from jobs.storage.shards import missing, plan
from jobs.store import Store, open_store
from jobs.wire import Receipt

JOB = Layout(project="default", job_name="shirts", job_id="20260101t000000z-abc123")
SHARDS = plan(30, 10)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def made(store: Store, number: int, attempt: int, put_if_absent: bool = True) -> Receipt:
    objects = [Written(key=f"train-{number}.tar", content=f"{number} by {attempt}".encode())]
    return commit_shard(store, JOB, SHARDS[number], objects, attempt=attempt, put_if_absent=put_if_absent)


def read(store: Store) -> tuple[dict[int, Receipt], list[str]]:
    told: list[str] = []
    return read_all(store, JOB, SHARDS, lambda kind, text: told.append(f"{kind}: {text}")), told


@pytest.mark.parametrize("put_if_absent", [True, False])
def test_what_a_receipt_names_is_what_is_there_whoever_came_when(store: Store, put_if_absent: bool) -> None:
    for attempt in (1, 2, 1):
        made(store, 0, attempt, put_if_absent)
    found, told = read(store)
    assert (list(found), told) == ([0], [])
    assert found[0].attempt == (1 if put_if_absent else 2), "the first one's objects, or one's own"
    for file in files_of(found.values()):
        assert store.sha256(JOB.prefix + file.key) == file.sha256


def test_without_put_if_absent_no_writer_writes_where_another_did(store: Store) -> None:
    for attempt in (1, 1, 2):
        made(store, 0, attempt, put_if_absent=False)
    for prefix in (JOB.data_prefix, JOB.receipts_prefix):
        assert len(list(store.list(prefix))) == 3


RUINED = {
    "no JSON": (JOB.receipt(1), b"{"),
    "empty": (JOB.receipt(1), b""),
    "a list": (JOB.receipt(1), b"[1]"),
    "of another shard": (JOB.receipt(1), json.dumps({"shard": 0, "start": 0, "stop": 10, "count": 10, "attempt": 1, "files": []}).encode()),
    "no files": (JOB.receipt(1), json.dumps({"shard": 1, "start": 10, "stop": 20, "count": 10, "attempt": 1}).encode()),
    "no attempt": (JOB.receipt(1), json.dumps({"shard": 1, "start": 10, "stop": 20, "count": 10, "attempt": None, "files": []}).encode()),
    "not UTF-8": (JOB.receipt(1), b"\xff\xfe\x00"),
    "a shard too many": (JOB.receipt(7), b"{}"),
    "somebody's file": (JOB.receipts_prefix + "notes.txt", b"hello"),
}  # fmt: skip


@pytest.mark.parametrize("what", RUINED)
def test_what_is_no_receipt_is_named_put_aside_and_made_again(store: Store, what: str) -> None:
    key, content = RUINED[what]
    made(store, 0, 1)
    store.put(key, content)
    found, (told,) = read(store)
    assert list(found) == [0]
    assert told.startswith(f"receipt_damaged: {store.locate(key)}: ")
    assert store.get(JOB.quarantine_prefix + key.removeprefix(JOB.prefix)) == content
    assert store.head(key) is None
    for shard in missing(SHARDS, found):
        made(store, shard.number, 2)
    found, told_again = read(store)
    assert (sorted(found), told_again) == ([0, 1, 2], [])
