"""One spec, one request or one record never costs the others more than its share."""

import os
from typing import Any

import pytest
from server_bench import BEGIN, DATABASE, TOKEN, Bench, train
from sqlalchemy import delete, event, insert, select

from orchestrator import db, scheduler
from orchestrator.db.tables import attempts, schedule_ticks, sources
from orchestrator.db.tables import jobs as jobs_table
from orchestrator.policies import usage
from orchestrator.scheduler import Node, Queued, Snapshot


@pytest.mark.timeout(60)
def test_a_rule_that_would_backtrack_for_ever_holds_up_nobody(bench: Bench) -> None:
    rule = {"failure": "user_code", "log": r"(\w+\s?)+\$", "action": "retry"}
    (job,) = bench.submit(train(retry={"rules": [rule], "backoff": "1s"}))
    bench.step()
    bench.driver(f"{job}-1").result("failed", failure="user_code", log="a" * 40)
    assert bench.job(job).status == "FAILED"


def test_a_rule_is_matched_before_the_transaction_that_ends_the_attempt(bench: Bench, monkeypatch: Any) -> None:
    from orchestrator.policies import retry

    asked = []

    def found_in(*_: Any) -> frozenset[str]:
        asked.append(bench.server.database.is_writing)
        return frozenset()

    monkeypatch.setattr(retry, "found_in", found_in)
    (job,) = bench.submit(train(retry={"backoff": "1s"}))
    bench.step()
    bench.driver(f"{job}-1").result("failed", failure="storage")
    bench.step(6)
    bench.driver(f"{job}-2").dies()
    bench.sleep(10)
    assert asked == [False, False]


def test_the_text_of_a_sweep_is_stored_once(bench: Bench) -> None:
    text = "x" * 10_000
    jobs = bench.submit(train("sweep", matrix={"train.seed": list(range(20))}), source=text)
    bench.submit(train("other"), source=text)
    with bench.server.database.read() as connection:
        assert connection.execute(select(sources.c.text)).scalars().all() == [text]
    assert bench.job(jobs[0]).source_digest == bench.job(jobs[-1]).source_digest


def test_a_text_goes_with_the_last_job_that_came_of_it(bench: Bench) -> None:
    (job,) = bench.submit(train(), source="the text")
    bench.post(f"/api/v1/jobs/{job}/cancel")
    bench.step(3)
    assert bench.http.delete(f"/api/v1/jobs/{job}", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    with bench.server.database.read() as connection:
        assert connection.execute(select(sources.c.text)).all() == []


def test_what_a_matrix_becomes_is_bounded_before_it_is_made(bench: Bench) -> None:
    big = train("big", environment={"env": {"A": "x" * 90_000}}, matrix={"train.seed": list(range(500))})
    answer = bench.post("/api/v1/jobs", {"documents": [big]})
    assert answer.status_code == 422
    assert "16 MiB" in answer.json()["error"]["problems"][0]["message"]
    many = [train(f"s{n}", matrix={"train.seed": list(range(500))}) for n in range(5)]
    assert "2000 jobs" in bench.post("/api/v1/jobs", {"documents": many}).json()["error"]["problems"][0]["message"]


@pytest.mark.timeout(60)
def test_a_plan_looks_at_no_more_sizes_than_the_cluster_has_room_for() -> None:
    class Counted:
        """A range that says how often it was looked into."""

        def __init__(self, sizes: range) -> None:
            self.sizes, self.looks = sizes, 0

        def __getitem__(self, n: Any) -> Any:
            self.looks += 1
            return self.sizes[n]

        def __len__(self) -> int:
            return len(self.sizes)

        def __hash__(self) -> int:
            return hash(self.sizes)

    sizes: Any = Counted(range(10**9, 0, -1))
    job = Queued(job_id="a", name="a", priority=50, submitted=0, sizes=sizes, cpus_per_worker=1, gpus_per_worker=0)
    (start,) = scheduler.plan(Snapshot(queued=[job], nodes=[Node(id="n", cpus=5)]))
    assert isinstance(start, scheduler.Start)
    assert start.workers == 5
    assert sizes.looks < 200


@pytest.mark.skipif(bool(os.environ.get(DATABASE)), reason="asks SQLite how it reads")
def test_what_every_step_and_every_list_reads_has_an_index(bench: Bench) -> None:
    """Whole tables, with their large columns, would be read again and again, more with each finished job."""
    asked: list[tuple[str, Any]] = []
    listen = event.listens_for(bench.server.database.engine, "before_cursor_execute")

    @listen
    def note(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            asked.append((statement, parameters))

    bench.submit(train())
    asked.clear()
    bench.step(3)
    for path in ("/api/v1/jobs", "/api/v1/jobs/fashion", "/api/v1/usage", "/api/v1/queues", "/api/v1/cluster"):
        assert bench.get(path).status_code == 200
    with bench.server.database.engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        for statement, parameters in {text: (text, values) for text, values in asked}.values():
            steps = [row[-1] for row in driver.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            scanned = [
                step for step in steps if step.startswith(("SCAN jobs", "SCAN attempts")) and "INDEX" not in step
            ]
            assert scanned == [], (statement, steps)


def test_a_list_of_jobs_reads_no_large_column(bench: Bench) -> None:
    bench.submit(train(labels={"team": "a"}), source="x" * 1000)
    statements: list[str] = []

    @event.listens_for(bench.server.database.engine, "before_cursor_execute")
    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    (job,) = bench.get("/api/v1/jobs").json()["jobs"]
    assert job["labels"] == {"team": "a"}
    assert not [statement for statement in statements if "jobs.spec," in statement or "jobs.totals" in statement]


def test_use_is_told_without_looking_at_finished_attempts(bench: Bench) -> None:
    (job,) = bench.submit(train())
    bench.step()
    driver = bench.driver(f"{job}-1")
    bench.clock.now += 2 * 86400 + 100
    driver.result("succeeded")
    with bench.server.database.write() as connection:
        connection.execute(delete(attempts))
    (row,) = bench.get("/api/v1/usage?by=user").json()["usage"]
    assert row["cpu_seconds_useful"] == pytest.approx(2 * 86400 + 100)
    (row,) = bench.get("/api/v1/usage?by=job&days=0.001").json()["usage"]
    assert 0 < row["cpu_seconds_useful"] < 86400  # of the day that has begun


def test_fair_shares_as_a_running_sum_are_those_reckoned_anew(bench: Bench) -> None:
    supervisor = bench.server.supervisor
    for n in range(4):
        (job,) = bench.submit(train(f"j{n}"))
        bench.step()
        driver = bench.driver(f"{job}-1")
        bench.sleep(70, beating=driver)
        driver.result("succeeded")
        bench.sleep(65)
    kept = supervisor._recent_usage(bench.clock.now)
    with bench.server.database.read() as connection:
        found = db.attempts.released(connection, 0, bench.clock.now)
    anew = usage.settled({}, 0, found, supervisor.settings.policy.half_life, supervisor._usage_seen)
    assert kept.keys() == anew.keys() == {("default", "ada")}
    assert kept["default", "ada"].cpus == pytest.approx(anew["default", "ada"].cpus)


LISTS = {
    "status=failed": "jobs_by_project_and_status",
    "status=running": "jobs_by_project_and_status",
    "kind=train": "jobs_by_project_and_kind",
    "name=fashion": "jobs_by_name",
    "": "jobs_by_project",
}


@pytest.mark.skipif(bool(os.environ.get(DATABASE)), reason="asks SQLite how it reads")
@pytest.mark.parametrize("narrowed", LISTS)
def test_a_list_is_read_in_its_order_up_to_its_limit(bench: Bench, narrowed: str) -> None:
    asked: list[tuple[str, Any]] = []

    @event.listens_for(bench.server.database.engine, "before_cursor_execute")
    def note(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "FROM jobs" in statement:
            asked.append((statement, parameters))

    bench.submit(train())
    asked.clear()
    assert bench.get(f"/api/v1/jobs?{narrowed}").status_code == 200
    with bench.server.database.engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        (statement, parameters), *_ = asked
        steps = [row[-1] for row in driver.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    assert len(steps) == 1, f"no sorting: {steps}"
    assert LISTS[narrowed] in steps[0]


@pytest.fixture
def long_past(bench: Bench) -> Bench:
    """A schedule that has fired a thousand times, and nothing else."""
    bench.submit(train("nightly", schedule={"cron": "0 2 * * *"}, labels={"team": "x" * 5000}))
    (job,) = [bench.post("/api/v1/schedules/nightly/trigger").json()["id"]]
    bench.step(2)
    bench.driver(f"{job}-1").result("succeeded")
    bench.step(4)
    row = vars(bench.job(job))
    with bench.server.database.write() as connection:
        for n in range(1, 1000):
            past = {
                "id": f"past-{n}",
                "seq": 1000 + n,
                "status": "SUCCEEDED" if n % 9 else "FAILED",
                "ended": BEGIN - n,
            }
            connection.execute(insert(jobs_table).values(**{**row, **past, "scheduled_time": BEGIN - 60 * n}))
            firing = {"project": "default", "schedule": "nightly", "scheduled_time": BEGIN - 60 * n, "decided": BEGIN}
            more = {"version": 1, "outcome": "started", "job_id": f"past-{n}"}
            connection.execute(insert(schedule_ticks).values(**firing, **more))
    return bench


def test_what_a_schedule_last_did_is_found_whatever_it_did_before(long_past: Bench) -> None:
    page = long_past.get("/metrics").text
    name = '{project="default",schedule="nightly"}'
    series = dict(line.rsplit(" ", 1) for line in page.splitlines() if line.startswith("ganworks_schedule_last"))
    (newest,) = [float(series[f"ganworks_schedule_last_timestamp_seconds{name}"])]
    assert newest > BEGIN - 60
    assert float(series[f"ganworks_schedule_last_success_timestamp_seconds{name}"]) > BEGIN - 60


def test_the_history_of_a_schedule_reads_no_large_column(long_past: Bench) -> None:
    statements: list[str] = []

    @event.listens_for(long_past.server.database.engine, "before_cursor_execute")
    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    firings = long_past.get("/api/v1/schedules/nightly/history?all=true").json()["firings"]
    assert len(firings) == 1000
    assert {firing["status"] for firing in firings} == {"SUCCEEDED", "FAILED"}
    assert not [each for each in statements if "jobs.labels" in each or "jobs.spec," in each]
    few = long_past.get("/api/v1/schedules/nightly/history").json()["firings"]
    assert 0 < len(few) < 20


def test_the_schema_is_made_once(bench: Bench, monkeypatch: Any) -> None:
    first = bench.get("/api/v1/schema").json()
    monkeypatch.setattr("orchestrator.api.catalogue.json_schema", dict)
    assert bench.get("/api/v1/schema").json() == first
    assert "samples_per_shard" in str(first)
