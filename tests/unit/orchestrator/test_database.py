"""Opening, migrating and leading a database."""

from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

from orchestrator import db
from orchestrator.db.migrate import SCRIPTS
from orchestrator.db.tables import metadata
from orchestrator.records import Attempt, Job
from orchestrator.server.leader import Leadership, Taken


@pytest.fixture
def database(tmp_path: Path) -> db.Database:
    return db.Database(f"sqlite:///{tmp_path}/folder/ganworks.db")


def test_migrations_make_the_tables_from_nothing(database: db.Database) -> None:
    db.migrate(database)
    assert set(metadata.tables) <= set(inspect(database.engine).get_table_names())
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_database_of_the_first_revision_is_brought_up_to_date(database: db.Database) -> None:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.exec_driver_sql("INSERT INTO counters VALUES ('attempts_total', '{}', 7)")
    db.migrate(database)
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert list(db.counters.all(connection)) == [("attempts_total", {}, 7)]


def test_jobs_from_before_keep_their_manifest_and_are_resumed_by_listing(database: db.Database) -> None:
    db.migrate(database)
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    with database.write() as connection:
        for id, status in (("ended", "SUCCEEDED"), ("open", "RUNNING")):
            job = Job(
                id=id, project="default", name=id, kind="train", queue="default", priority=50, owner="ada", spec={},
                spec_digest="", status=status, desired="RUN", submitted=1.0,
            )  # fmt: skip
            db.jobs.add(connection, job)
            size = {"workers": 1, "cpus_per_worker": 1, "gpus_per_worker": 0, "placement": {}}
            for number, outcome, digest in ((1, "LOST", "a" * 64), (2, status, "b" * 64)):
                attempt = Attempt(
                    id=f"{id}-{number}",
                    job_id=id,
                    number=number,
                    status=outcome,
                    created=1.0,
                    commit_sha256=digest,
                    **size,
                )
                db.attempts.add(connection, attempt)
        config.attributes["connection"] = connection
        command.downgrade(config, "0004")
    db.migrate(database)
    with database.read() as connection:
        jobs = db.jobs.by_ids(connection, ("ended", "open"))
    assert {id: job.commit_sha256 for id, job in jobs.items()} == {"ended": "b" * 64, "open": None}
    assert {job.lineage for job in jobs.values()} == {None}


def test_migrating_again_changes_nothing(database: db.Database) -> None:
    db.migrate(database)
    db.migrate(database)


def test_a_newer_database_is_refused(database: db.Database) -> None:
    db.migrate(database)
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'from-the-future'"))
    with pytest.raises(db.NewerDatabase, match="from-the-future"):
        db.migrate(database)


def test_commits_are_on_the_disk(database: db.Database) -> None:
    with database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL


def test_a_failed_transaction_leaves_nothing(database: db.Database) -> None:
    db.migrate(database)

    def halfway() -> None:
        with database.write() as connection:
            db.counters.add(connection, "attempts_total")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        halfway()
    with database.read() as connection:
        assert list(db.counters.all(connection)) == []


def test_a_reader_sees_one_moment(database: db.Database) -> None:
    db.migrate(database)
    with database.read() as reader:
        assert list(db.counters.all(reader)) == []
        with database.write() as writer:
            db.counters.add(writer, "attempts_total")
        assert list(db.counters.all(reader)) == []


def test_one_server_for_one_database(database: db.Database) -> None:
    first = Leadership(database)
    with pytest.raises(Taken, match=r"another server \(pid \d+\) works on"):
        Leadership(database)
    first.release()
    Leadership(database).release()
