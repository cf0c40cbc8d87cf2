"""What is published is final, whoever comes late: two attempts in every order, and each old mistake put back.

tests/soak plays every move against every move; here it is every move against some.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, update

from jobs import generate, train
from jobs.driver import receipts
from jobs.driver.rank import RankZeroHooks
from jobs.storage import checkpoints, manifest
from jobs.storage.layout import Layout
from jobs.wire import File
from orchestrator import db
from orchestrator.db.tables import jobs
from tests.support import interleave
from tests.support.interleave import Violation, explore

HAPPENS = ("late", "asleep", "both")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[db.Database]:
    with interleave.stage(tmp_path_factory.mktemp("interleave")) as database:
        yield database


@pytest.mark.parametrize("happens", HAPPENS)
@pytest.mark.parametrize("honours", [True, False], ids=["put-if-absent", "plain puts"])
def test_a_data_set_is_whole_and_final_in_any_order(
    database: db.Database, tmp_path: Path, honours: bool, happens: str
) -> None:
    assert explore(database, "generate", honours, happens, tmp_path, every=8) > 40


@pytest.mark.parametrize("happens", HAPPENS)
def test_a_training_goes_on_and_its_model_is_final_in_any_order(
    database: db.Database, tmp_path: Path, happens: str
) -> None:
    assert explore(database, "train", False, happens, tmp_path, every=32) > 60


# --- the mistakes that users lost data by


def fixed_keys(patch: pytest.MonkeyPatch) -> None:
    """An attempt writes its model, grids and card where they are published."""
    patch.setattr(Layout, "draft", lambda self, attempt, key: key)
    patch.setattr(
        manifest, "made_by",
        lambda store, job, attempt: [
            File(key=info.key.removeprefix(job.prefix), size=info.size, sha256=store.sha256(info.key))
            for info in store.list(job.model_prefix)
        ],
    )  # fmt: skip
    patch.setattr(train, "made_by", manifest.made_by)


def orphans_before_the_yes(patch: pytest.MonkeyPatch) -> None:
    """Objects that no receipt of the attempt names are removed before the database is asked."""
    publish = manifest.publish

    def early(store: Any, job: Layout, client: Any, said: Any, *more: Any) -> Any:
        manifest._remove_orphans(store, job, said.files, "")
        return publish(store, job, client, said, *more)

    patch.setattr(generate, "publish", early)


def receipts_unfenced(patch: pytest.MonkeyPatch) -> None:
    """Without put-if-absent, every attempt writes its shards and receipts to the same keys."""
    commit = receipts.commit_shard
    patch.setattr(receipts.secrets, "token_hex", lambda size: "00" * size)
    patch.setattr(receipts, "commit_shard", lambda *args, attempt, **more: commit(*args, attempt=0, **more))


def a_digest_an_attempt(patch: pytest.MonkeyPatch) -> None:
    """A later attempt may commit another manifest, and does not hear of the one that was accepted."""

    def accept(connection: Connection, job_id: str, digest: str) -> bool:
        connection.execute(update(jobs).where(jobs.c.id == job_id).values(commit_sha256=digest))
        return True

    published = manifest.published
    patch.setattr(db.jobs, "accept", accept)
    for module in (train, generate):
        patch.setattr(
            module, "published", lambda store, job, client, kind, accepted: published(store, job, client, kind, None)
        )


def most_examples(patch: pytest.MonkeyPatch) -> None:
    """Resume takes the checkpoint of most examples, whoever wrote it."""
    patch.setattr(train, "_lineage", lambda claim, store, job: checkpoints.committed(store, job))


def prunes_unasked(patch: pytest.MonkeyPatch) -> None:
    """All but the newest are deleted before the database has heard of it, by a listing."""
    go_on = RankZeroHooks._go_on_from

    def unasked(self: RankZeroHooks, lineage: Any, patience: float) -> None:
        for key in checkpoints.committed(self.store, self.job)[2:]:
            checkpoints.remove(self.store, [info.key for info in self.store.list(key.prefix)])
        go_on(self, lineage, patience)

    patch.setattr(RankZeroHooks, "_go_on_from", unasked)


def forgets_unasked(patch: pytest.MonkeyPatch) -> None:
    """After a rollback, what has more examples is deleted without asking, a later attempt's too."""
    back = RankZeroHooks.rolled_back

    def unasked(self: RankZeroHooks, examples: int) -> None:
        for key in checkpoints.committed(self.store, self.job):
            if key.examples > examples:
                checkpoints.remove(self.store, [info.key for info in self.store.list(key.prefix)])
        back(self, examples)

    patch.setattr(RankZeroHooks, "rolled_back", unasked)


PLANTED: list[tuple[Callable[[pytest.MonkeyPatch], None], str, bool, str, int]] = [
    (fixed_keys, "train", True, "asleep", 28),
    (orphans_before_the_yes, "generate", False, "asleep", 1),
    (receipts_unfenced, "generate", False, "asleep", 1),
    (a_digest_an_attempt, "generate", True, "late", 20),
    (a_digest_an_attempt, "generate", False, "late", 20),
    (a_digest_an_attempt, "train", False, "asleep", 42),
    (most_examples, "train", False, "both", 1),
    (prunes_unasked, "train", False, "asleep", 8),
    (forgets_unasked, "train", False, "both", 12),
]


@pytest.mark.parametrize(
    ("mistake", "kind", "honours", "happens", "begin"), PLANTED, ids=[f"{row[0].__name__}-{row[1]}" for row in PLANTED]
)
def test_each_old_mistake_is_found(
    database: db.Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    mistake: Callable[[pytest.MonkeyPatch], None], kind: str, honours: bool, happens: str, begin: int,
) -> None:  # fmt: skip
    mistake(monkeypatch)
    with pytest.raises(Violation):
        explore(database, kind, honours, happens, tmp_path, every=3, begin=begin)
