"""A judgement needs evidence: no training is stopped because the server could not write, slept, or had its clock set."""

import os
import resource
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from server_bench import DATABASE, Bench, Clock, client, generate, make_server, put_model, train
from sqlalchemy import event

from jobs.store import StoreError, StoreFull, StoreUnreachable
from orchestrator import db
from orchestrator.clock import SLEW, SteadyClock
from orchestrator.cluster.memory import MemoryCluster


class Locked:
    """Another process holds SQLite's lock."""

    def __init__(self, bench: Bench) -> None:
        self.other = sqlite3.connect(bench.server.settings.home / "ganworks.db", isolation_level=None)

    def __enter__(self) -> None:
        self.other.execute("BEGIN IMMEDIATE")

    def __exit__(self, *_: Any) -> None:
        self.other.execute("ROLLBACK")
        self.other.close()


def test_a_database_that_cannot_be_written_stops_no_training(bench: Bench) -> None:
    bench.server.database.patience = 0.01
    (job,) = bench.submit(train())
    bench.step()
    driver = bench.driver(f"{job}-1")
    bench.step()
    with Locked(bench):
        for _ in range(7):
            bench.clock.now += 10
            assert driver.call("heartbeat").status_code == 503
            bench.server.supervisor.step()
        assert bench.http.get("/readyz").json()["database"] is False
    assert bench.server.supervisor.database.unwritable
    bench.server.supervisor.step()
    assert bench.http.get("/readyz").json()["database"] is True
    assert driver.heartbeat() == "continue"
    bench.step()
    assert bench.cluster.stops == []
    assert bench.job(job).status == "RUNNING"


def test_a_driver_counts_as_heard_though_its_heartbeat_could_not_be_written(bench: Bench, monkeypatch: Any) -> None:
    (job,) = bench.submit(train())
    bench.step()
    driver = bench.driver(f"{job}-1")
    monkeypatch.setattr(db.attempts, "change", lambda *_, **__: None)  # what a lost write leaves: nothing
    for _ in range(10):
        driver.heartbeat()
        bench.step(seconds=10)
    assert bench.job(job).status == "RUNNING"


def test_the_stop_through_ray_comes_after_the_note_of_it(bench: Bench, monkeypatch: Any) -> None:
    (job,) = bench.submit(train())
    bench.step()
    bench.driver(f"{job}-1")
    seen = []
    monkeypatch.setattr(bench.cluster, "stop", lambda id: seen.append(bench.attempts(job)[0].status))
    bench.sleep(70)
    assert seen[0] == "LOST"


class Clocks:
    def __init__(self) -> None:
        self.wall, self.monotonic = 1e9, 50.0

    def go(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_a_clock_that_is_set_changes_no_duration(step: float) -> None:
    clocks = Clocks()
    clock = SteadyClock(wall=lambda: clocks.wall, monotonic=lambda: clocks.monotonic)
    began = clock()
    clocks.wall += step
    clocks.go(60)
    assert clock() - began == pytest.approx(60, rel=SLEW + 1e-6)
    for _ in range(1000):
        clocks.go(100)
        clock()
    assert clock() == pytest.approx(clocks.wall)


def test_a_clock_set_back_while_the_server_was_away_goes_on_where_it_was() -> None:
    assert SteadyClock(1000.0, wall=lambda: 400.0, monotonic=lambda: 0.0)() == 1000.0
    assert SteadyClock(1e9, wall=lambda: 400.0, monotonic=lambda: 0.0)() == 400.0  # that was no hour's step


def test_a_server_tells_durations_by_the_steady_clock_and_calendars_by_the_wall(bench: Bench) -> None:
    bench.submit(train("nightly", schedule={"cron": "0 * * * *"}))
    bench.server.supervisor.wall = lambda: bench.clock.now + 7200
    (job,) = bench.submit(train("other", timeout="30m"))
    bench.step(2)
    bench.driver(f"{job}-1")
    bench.step(2)
    assert bench.job(job).status == "RUNNING"
    assert bench.get("/api/v1/jobs?name=nightly").json()["jobs"]


def test_the_newest_is_the_one_that_came_last_whatever_the_clock_said(bench: Bench) -> None:
    ids = []
    for _ in range(2):
        (job,) = bench.submit(train())
        bench.step()
        put_model(bench, job)
        bench.driver(f"{job}-1").result("succeeded")
        bench.step(3)
        ids.append(job)
        bench.clock.now -= 3600
    assert bench.get("/api/v1/jobs/fashion").json()["id"] == ids[1]
    (made,) = bench.submit(generate())
    bench.step(3)
    assert ids[1] in bench.job(made).pinned["model"]["uri"]
    assert [job["id"] for job in bench.get("/api/v1/jobs").json()["jobs"]] == [made, ids[1], ids[0]]


# --- one record's trouble stays its own


def test_a_model_whose_config_is_no_object_fails_its_job_alone(bench: Bench) -> None:
    (job,) = bench.submit(train())
    bench.step()
    put_model(bench, job)
    layout = bench.job(job).layout
    bench.server.store.put(layout.draft(1, layout.model_prefix + "config.json"), b"[1]")
    bench.driver(f"{job}-1").result("succeeded")
    bench.step(3)
    (made,) = bench.submit(generate())
    bench.step(3)
    failed = bench.job(made)
    assert (failed.status, failed.failure) == ("FAILED", "reference")
    assert "config.json" in (failed.reason or "")


def test_a_store_that_refuses_one_key_ends_no_round(bench: Bench, monkeypatch: Any) -> None:
    jobs = bench.submit(*(train(name) for name in ("a", "b", "c")))
    put = bench.server.store.put

    def refusing(key: str, data: bytes, **more: Any) -> None:
        if "/a/" in key:
            raise StoreError(f"{key!r} is not a key")
        put(key, data, **more)

    bench.server.store.put = refusing  # type: ignore[method-assign]
    bench.step(2)
    assert [bench.job(job).described for job in jobs] == [False, True, True]

    def away(key: str, data: bytes, **more: Any) -> None:
        raise StoreUnreachable("away")

    bench.server.store.put = away  # type: ignore[method-assign]
    with pytest.raises(StoreUnreachable):
        bench.server.archiver.step()


def test_a_spec_that_this_version_refuses_fails_its_job_and_no_other(bench: Bench) -> None:
    old, new = bench.submit(train("old"), train("new"))
    bench.cluster.machines = []
    spec = bench.job(old).spec | {"retry": {"limit": 10**6}}
    with bench.server.database.write() as connection:
        db.jobs.change(connection, old, spec=spec, spec_digest="of an earlier version")
    bench.step(2)
    assert (bench.job(old).status, bench.job(old).failure) == ("FAILED", "spec")
    assert not bench.job(new).has_ended


def test_equal_ids_of_two_databases_share_no_spec(bench: Bench, tmp_path: Path) -> None:
    (job,) = bench.submit(train(priority=10))
    row = bench.job(job)
    assert row.parsed.priority == 10
    assert row.evolve(spec=row.spec | {"priority": 20}, spec_digest="other").parsed.priority == 20


# --- a disk without room


@contextmanager
def no_file_may_grow() -> Iterator[None]:
    """Let every write beyond a page fail, as on a disk without room."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Fill it to its last byte."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        for block in (1 << 16, 1 << 10, 1):
            with suppress(OSError):
                while file.write(b"x" * block):
                    continue
    yield
    ballast.unlink()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("no file system may be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def hold_out(bench: Bench, full: AbstractContextManager[None]) -> None:
    """A healthy driver over a hundred seconds without room for a byte; then there is room again."""
    job, waiting = bench.submit(train(), train("later"))
    bench.step()
    driver = bench.driver(f"{job}-1")
    bench.step()
    events = bench.events(job)
    with full:
        for _ in range(10):
            bench.clock.now += 10
            answer = driver.call("heartbeat")
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            bench.server.supervisor.step()
        ready = bench.http.get("/readyz")
        assert (ready.status_code, ready.json()["database"]) == (503, False)
        assert bench.post("/api/v1/jobs", {"documents": [train("third")]}).status_code == 503
        assert bench.get(f"/api/v1/jobs/{job}").json()["status"] == "RUNNING", "what was written can be read"
    bench.step(2)
    assert bench.http.get("/readyz").json()["database"] is True
    assert driver.heartbeat() == "continue"
    assert bench.cluster.stops == []
    assert bench.events(job) == events, "nobody was judged for what nobody could write down"
    driver.result("succeeded")
    bench.step(4)
    assert bench.job(job).status == "SUCCEEDED"
    bench.driver(f"{waiting}-1")
    assert bench.job(waiting).status == "RUNNING"


@contextmanager
def read_only(bench: Bench) -> Iterator[None]:
    """Every connection may only read, as where the file system has turned read-only."""

    def refuse_writes(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA query_only = ON")

    engine = bench.server.database.engine
    event.listen(engine, "connect", refuse_writes)
    engine.dispose()
    yield
    event.remove(engine, "connect", refuse_writes)
    engine.dispose()


ON_SQLITE = pytest.mark.skipif(bool(os.environ.get(DATABASE)), reason="PostgreSQL's files are another process's")


@ON_SQLITE
def test_a_full_disk_stops_no_training(bench: Bench) -> None:
    hold_out(bench, no_file_may_grow())


@ON_SQLITE
def test_a_database_that_is_read_only_stops_no_training(bench: Bench) -> None:
    hold_out(bench, read_only(bench))


@ON_SQLITE
def test_a_disk_filled_to_its_last_byte_stops_no_training(small_disk: Path) -> None:
    clock, cluster = Clock(), MemoryCluster()
    server = make_server(small_disk, cluster, clock)
    bench = Bench(server, cluster, clock, client(server))
    bench.step()
    hold_out(bench, filled(small_disk))
    bench.close()


@ON_SQLITE
def test_a_disk_that_is_full_for_the_bucket_too_loses_no_log(small_disk: Path) -> None:
    """The store is a folder on it: archiving waits for room."""
    clock, cluster = Clock(), MemoryCluster()
    server = make_server(small_disk, cluster, clock)
    bench = Bench(server, cluster, clock, client(server))
    (job,) = bench.submit(train())
    bench.step(2)
    driver = bench.driver(f"{job}-1")
    cluster.entries[driver.id].log = "the log\n"
    driver.result("failed", failure="bad_data")
    bench.server.supervisor.step()
    with filled(small_disk):
        for _ in range(3):
            bench.clock.now += 60
            with suppress(StoreFull, db.CannotWrite):
                bench.server.archiver.step()
            bench.server.supervisor.step()
        assert not bench.attempts(job)[0].archived
    bench.step(4)
    assert bench.get(f"/api/v1/jobs/{job}/logs").json()["text"] == "the log\n"
    assert bench.job(job).archived
    bench.close()
