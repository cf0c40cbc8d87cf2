"""The end of a job: the database first, then everything in its place, the manifest last; the same bytes again."""

import json
from contextlib import suppress
from pathlib import Path

import pytest

from jobs.driver.orchestrator_client import Stale
from jobs.storage import layout, manifest
from jobs.storage.layout import Layout
from jobs.storage.manifest import Manifest
from jobs.store import Store, StoreError, open_store
from jobs.wire import File

JOB = Layout(project="default", job_name="shirts", job_id="20260101t000000z-abc123")
MODEL = JOB.model_prefix + "generator.safetensors"


class Counted(Manifest):
    kind: str = "count"
    samples: int


def of(files: list[File], samples: int = 3) -> Counted:
    return Counted(**manifest.head(JOB, files), samples=samples)


class Database:
    """What the orchestrator does: it accepts one digest a job."""

    def __init__(self) -> None:
        self.accepted: str | None = None
        self.stale = False

    def commit(self, sha256: str) -> None:
        if self.stale or self.accepted not in (None, sha256):
            raise Stale("another attempt has the job, or another manifest was accepted")
        self.accepted = sha256


class Away(Store):
    """A store that fails at its n-th change."""

    def __init__(self, inner: Store, after: int) -> None:
        self.inner, self.left = inner, after

    def __getattribute__(self, name: str):
        inner = object.__getattribute__(self, "inner")
        if name in ("put", "copy", "delete"):
            left = object.__getattribute__(self, "left")
            object.__setattr__(self, "left", left - 1)
            if left <= 0:
                raise StoreError("planted")
        return getattr(inner, name)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


def make(store: Store, attempt: int) -> list[File]:
    """What an attempt leaves to be published."""
    for key in (MODEL, JOB.merged_stats):
        store.put(JOB.draft(attempt, key), f"{key} of attempt {attempt}".encode())
    store.put(JOB.drawn_grid(100 * attempt, attempt), b"png")
    return manifest.made_by(store, JOB, attempt)


def publish(store: Store, database: Database, attempt: int) -> Counted:
    return manifest.publish(store, JOB, database, of(make(store, attempt)), f"by {attempt}", attempt)


def contents(store: Store) -> dict[str, bytes]:
    """All that is published: what lies outside the attempts' own keys."""
    keys = [info.key for info in store.list(JOB.prefix)]
    own = (JOB.attempts_prefix, JOB.prefix + "manifests/")
    return {key.removeprefix(JOB.prefix): store.get(key) for key in keys if not key.startswith(own)}


def test_everything_lies_in_its_place_and_the_manifest_says_where_it_came_from(store: Store) -> None:
    database = Database()
    publish(store, database, 1)
    assert set(contents(store)) == {
        "MANIFEST.json", "SHA256SUMS", "README.md", "model/generator.safetensors", "stats.jsonl", "grids/000000000100.png",
    }  # fmt: skip
    said = json.loads(store.get(JOB.manifest))
    assert database.accepted == store.sha256(JOB.manifest)
    for file in said["files"]:
        assert store.sha256(JOB.prefix + file["key"]) == store.sha256(JOB.prefix + file["source"]) == file["sha256"]
        assert file["source"].startswith("attempts/a1/")
    assert store.get(JOB.sha256sums).decode().split()[1::2] == [file["key"] for file in said["files"]]


def test_of_each_grid_the_newest_attempts_counts_and_none_of_a_later_one(store: Store) -> None:
    for attempt, examples in ((1, 100), (1, 200), (2, 200), (3, 300)):
        store.put(JOB.drawn_grid(examples, attempt), b"png")
    store.put(JOB.drawn_grid(200, 2, rollbacks=1), b"png")
    assert [(file.key, file.source) for file in manifest.made_by(store, JOB, 2)] == [
        ("grids/000000000100.png", "attempts/a1/grids/000000000100.png"),
        ("grids/000000000200.png", "attempts/a2/grids/000000000200-r1.png"),
    ]


def test_a_stale_attempt_changes_nothing_of_what_is_published(store: Store) -> None:
    database = Database()
    publish(store, database, 2)
    before, database.stale = contents(store), True
    with pytest.raises(Stale):
        publish(store, database, 1)
    assert contents(store) == before


def test_a_stale_attempt_removes_nothing(store: Store) -> None:
    database = Database()
    database.stale = True
    store.put(JOB.data_prefix + "train-00000-of-00001.tar", b"shard")
    with pytest.raises(Stale):
        publish(store, database, 1)
    assert list(contents(store)) == ["data/train-00000-of-00001.tar"]


def test_an_orphan_goes_once_the_manifest_is_accepted(store: Store) -> None:
    orphans = [JOB.data_prefix + "a1-00ff/orphan", JOB.draft(1, MODEL), JOB.manifest_body("0" * 64)]
    for key in orphans:
        store.put(key, b"x")
    publish(store, Database(), 2)
    assert [store.head(key) for key in orphans] == [None, None, None]


def test_one_digest_a_job(store: Store) -> None:
    database = Database()
    publish(store, database, 1)
    before = contents(store)
    with pytest.raises(Stale):
        publish(store, database, 2)
    assert contents(store) == before


@pytest.mark.parametrize("after", range(3, 12))
def test_an_open_commit_is_finished_by_whoever_comes_next(store: Store, after: int) -> None:
    database, made = Database(), make(store, 1)
    with suppress(StoreError):
        manifest.publish(Away(store, after), JOB, database, of(made), "by 1", 1)
    accepted = database.accepted
    if accepted is None:
        assert contents(store) == {}
        return
    manifest.published(store, JOB, database, Counted, accepted)
    assert store.sha256(JOB.manifest) == accepted
    assert store.get(MODEL) == store.get(JOB.draft(1, MODEL))
    assert store.get(JOB.readme) == b"by 1"


def test_a_manifest_that_was_not_accepted_is_named_and_nothing_succeeds(store: Store) -> None:
    database = Database()
    publish(store, database, 1)
    store.put(JOB.manifest, b"{}")
    with pytest.raises(StoreError, match=r"MANIFEST.json: not the manifest that was accepted .* move it away"):
        manifest.published(store, JOB, database, Counted, database.accepted)


def test_a_manifest_from_before_is_adopted(store: Store) -> None:
    database = Database()
    assert manifest.published(store, JOB, database, Counted, None) is None
    store.put(JOB.manifest, of([]).model_dump_json().encode())
    assert manifest.published(store, JOB, database, Counted, None) == of([])
    assert database.accepted == store.sha256(JOB.manifest)


def test_the_hint_stays_with_the_newest_job(store: Store) -> None:
    hint, database = layout.latest("default", "shirts"), Database()
    store.put(hint, json.dumps({"job_id": "20270101t000000z-ffffff"}).encode())
    publish(store, database, 1)
    assert json.loads(store.get(hint))["job_id"] == "20270101t000000z-ffffff"
    store.put(hint, b"{")
    publish(store, database, 1)
    assert json.loads(store.get(hint))["job_id"] == JOB.job_id
