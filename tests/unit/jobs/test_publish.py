"""The end of a job: the database first, the manifest last and once, the same bytes again."""

import json
from pathlib import Path

import pytest

from jobs.driver.orchestrator_client import Stale
from jobs.storage import manifest
from jobs.storage.layout import Layout
from jobs.storage.manifest import Manifest
from jobs.store import open_store
from jobs.wire import File

JOB = Layout(project="default", job_name="shirts", job_id="20260101t000000z-abc123")
FILES = [File(key="data/b", size=1, sha256="bb"), File(key="data/a", size=2, sha256="aa")]


class Counted(Manifest):
    kind: str = "count"
    samples: int


def of(files: list[File], samples: int) -> Counted:
    return Counted(**manifest.head(JOB, files), samples=samples)


class Database:
    """What the orchestrator accepts: one digest."""

    def __init__(self, stale: bool = False) -> None:
        self.accepted: list[str] = []
        self.stale = stale

    def commit(self, sha256: str) -> None:
        if self.stale:
            raise Stale("another attempt has the job")
        self.accepted.append(sha256)


def test_the_manifest_lists_every_file_and_a_second_time_gives_the_same_bytes(tmp_path: Path) -> None:
    store, database = open_store(str(tmp_path)), Database()
    for _ in range(2):
        manifest.publish(store, JOB, database, of(FILES, 3), "hello")
    stored = json.loads(store.get(JOB.manifest))
    assert [file["key"] for file in stored["files"]] == ["data/a", "data/b"]
    assert store.get(JOB.sha256sums) == b"aa  data/a\nbb  data/b\n"
    assert len(set(database.accepted)) == 1
    assert database.accepted[0] == store.sha256(JOB.manifest)


def test_a_stale_attempt_publishes_nothing(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    with pytest.raises(Stale):
        manifest.publish(store, JOB, Database(stale=True), of(FILES, 3), "")
    assert store.head(JOB.manifest) is None


def test_a_manifest_that_is_there_is_adopted_and_never_written_over(tmp_path: Path) -> None:
    store, database = open_store(str(tmp_path)), Database()
    manifest.publish(store, JOB, database, of(FILES, 3), "")
    first = store.get(JOB.manifest)
    assert manifest.published(store, JOB, database, Counted) == of(FILES, 3)
    manifest.publish(store, JOB, database, of(FILES[:1], 1), "")
    assert store.get(JOB.manifest) == first
    assert set(database.accepted[-1:]) == {store.sha256(JOB.manifest)}
