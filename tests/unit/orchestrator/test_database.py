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


def test_jobs_of_revision_4_keep_their_order_their_text_and_what_they_used(database: db.Database) -> None:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    day = 86400.0 * 20_000
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
        for id, submitted in (("b", 2.0), ("a", 1.0)):
            connection.execute(
                text(
                    "INSERT INTO jobs (id, project, name, kind, queue, priority, owner, spec, spec_digest, source, status, "
                    "desired, attempt, submitted, ended, described, archived) VALUES (:id, 'p', :id, 'train', 'q', 50, 'ada', "
                    "'{\"labels\": {\"team\": \"x\"}}', '', 'the text', 'SUCCEEDED', 'RUN', 1, :at, 9.0, false, false)"
                ),
                {"id": id, "at": submitted},
            )
            connection.execute(
                text(
                    "INSERT INTO attempts (id, job_id, number, workers, cpus_per_worker, gpus_per_worker, placement, status, "
                    "claim_hash, created, started, ended, archived) VALUES (:id || '-1', :id, 1, 2, 1, 0.5, '{}', 'SUCCEEDED', "
                    "'', 0, :begin, :end, true)"
                ),
                {"id": id, "begin": day - 30, "end": day + 10},
            )
        connection.exec_driver_sql(
            "INSERT INTO events (job_id, time, type, message) VALUES ('b', 0, 'x', ''), ('a', 0, 'x', '')"
        )
    db.migrate(database)
    with database.read() as connection:
        rows = connection.execute(text("SELECT id, seq, ended_seq, source_digest FROM jobs ORDER BY seq")).all()
        assert [(row.id, row.seq, row.ended_seq) for row in rows] == [("a", 1, 2), ("b", 2, 1)]
        assert connection.execute(text("SELECT digest, text FROM sources")).all() == [
            (rows[0].source_digest, "the text")
        ]
        assert db.jobs.page(connection, "p", 10)[0].labels == {"team": "x"}
        used = db.usage.since(connection, "p", "user", 20_000)
        assert used == {
            "ada": {**dict.fromkeys(db.usage.COLUMNS, 0.0), "gpu_seconds_useful": 20, "cpu_seconds_useful": 40}
        }
        assert db.usage.since(connection, "p", "user", 0)["ada"]["cpu_seconds_useful"] == 160


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
