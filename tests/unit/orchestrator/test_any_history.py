"""Whatever happens, in whatever order: the invariants of jobs and attempts hold, and every job comes to an end."""

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule
from server_bench import Bench, Clock, DriverDouble, client, empty_database, make_server, restarted, train

from orchestrator import db
from orchestrator.cluster.memory import MemoryCluster
from orchestrator.policies.liveness import DriverStatus
from orchestrator.scheduler import Backlog
from orchestrator.states import ENDED, Status
from orchestrator.supervision.open_jobs import OpenJobs

NAMES = ("a", "b", "c")


def classes(backlog: Backlog) -> object:
    """All that a plan sees of the queue, order included."""
    return {
        line: ([place[:3] for place in found.heads], [[job.job_id for job in place[3].jobs] for place in found.heads])
        for line, found in backlog.user_queues.items()
    }


class AnyHistory(RuleBasedStateMachine):
    jobs = Bundle("jobs")

    @initialize()
    def begin(self) -> None:
        empty_database()
        clock, cluster = Clock(), MemoryCluster()
        server = make_server(Path(tempfile.mkdtemp()), cluster, clock)
        self.bench = Bench(server, cluster, clock, client(server))
        self.drivers: dict[str, DriverDouble] = {}
        self.bench.step()

    @rule(target=jobs, name=st.sampled_from(NAMES), workers=st.integers(1, 2), limit=st.integers(0, 2))
    def submit(self, name: str, workers: int, limit: int) -> str:
        document = train(name, resources={"workers": workers}, retry={"limit": limit, "backoff": "1s"})
        answer = self.bench.post("/api/v1/jobs", {"documents": [document]})
        assert answer.status_code in (200, 201, 409)
        found = answer.json()["jobs"][0] if answer.is_success else self.bench.get(f"/api/v1/jobs/{name}").json()
        return str(found["id"])

    @rule(job=jobs, word=st.sampled_from(["cancel", "suspend", "resume"]))
    def ask(self, job: str, word: str) -> None:
        assert self.bench.post(f"/api/v1/jobs/{job}/{word}").status_code in (200, 409)

    @rule(seconds=st.sampled_from([0.5, 5.0, 14.0, 30.0, 100.0]), times=st.integers(1, 5))
    def time_goes_by(self, seconds: float, times: int) -> None:
        self.bench.step(times, seconds)

    @rule(pick=st.randoms(use_true_random=False), nonce=st.sampled_from(["the first", "another one"]))
    def claim(self, pick: object, nonce: str) -> None:
        for id in self._any_driver(pick):
            driver = DriverDouble(self.bench, id, nonce=f"nonce of {nonce}")
            if driver.claim().status_code == 200:
                earlier = self.drivers.setdefault(id, driver)
                assert earlier.nonce == driver.nonce, "one claimant"

    @rule(pick=st.randoms(use_true_random=False), examples=st.integers(0, 3))
    def tick(self, pick: object, examples: int) -> None:
        for id in self._any_driver(pick):
            if id in self.drivers:
                self.drivers[id].tick(phase="training", examples=examples)

    @rule(
        pick=st.randoms(use_true_random=False),
        outcome=st.sampled_from(["succeeded", "stopped", "cancelled", "failed"]),
        failure=st.sampled_from(["storage", "bad_data"]),
    )
    def result(self, pick: object, outcome: str, failure: str) -> None:
        for id in self._any_driver(pick):
            if id in self.drivers:
                self.drivers[id].call("result", {"outcome": outcome, "failure": failure})

    @rule(pick=st.randoms(use_true_random=False), status=st.sampled_from(["FAILED", "STOPPED", "SUCCEEDED"]))
    def driver_ends(self, pick: object, status: str) -> None:
        for id in self._any_driver(pick):
            self.bench.cluster.becomes(id, DriverStatus(status))

    @rule(reachable=st.booleans(), stubborn=st.booleans())
    def ray_changes(self, reachable: bool, stubborn: bool) -> None:
        self.bench.cluster.reachable, self.bench.cluster.stubborn = reachable, stubborn

    @rule()
    def head_restarts(self) -> None:
        self.bench.cluster.forget()

    @rule(away=st.sampled_from([1.0, 1000.0]))
    def server_restarts(self, away: float) -> None:
        restarted(self.bench, away)

    def _any_driver(self, pick: object) -> list[str]:
        ids = sorted(self.bench.cluster.entries)
        return [pick.choice(ids)] if ids else []  # type: ignore[attr-defined]

    @invariant()
    def jobs_and_attempts_agree(self) -> None:
        if not hasattr(self, "bench"):
            return
        with self.bench.server.database.read() as connection:
            jobs = db.jobs.page(connection, "default", 1000)
            attempts = {job.id: db.attempts.of_job(connection, job.id) for job in jobs}
            held = db.attempts.unreleased(connection)
            events = {job.id: [event.type for event in db.events.after(connection, job.id)] for job in jobs}
        for job in jobs:
            mine = attempts[job.id]
            live = [attempt for attempt in mine if attempt.is_live]
            assert [attempt.number for attempt in mine] == list(range(1, job.attempt + 1)), "numbers rise without a gap"
            assert len(live) == (1 if job.is_active else 0)
            assert not live or live[0].number == job.attempt
            assert (job.ended is not None) == (job.status in ENDED)
            ends = [name for name in events[job.id] if name in ("succeeded", "failed", "cancelled")]
            assert len(ends) == (1 if job.status in ENDED else 0), "one end"
            succeeded = sum(attempt.status == "SUCCEEDED" for attempt in mine)
            assert succeeded == (1 if job.status == Status.SUCCEEDED else 0)
            assert sum(attempt.failure is not None for attempt in mine) <= 1 + job.spec["retry"]["limit"]
        unfinished = [job.name for job in jobs if job.ended is None]
        assert len(unfinished) == len(set(unfinished))
        assert sum(attempt.workers * attempt.cpus_per_worker for attempt in held) <= 2

    @invariant()
    def what_is_kept_of_open_jobs_is_what_the_database_says(self) -> None:
        if not hasattr(self, "bench"):
            return
        supervisor = self.bench.server.supervisor
        kept, fresh = supervisor.open_jobs, OpenJobs(self.bench.server.database)
        for open_jobs in (kept, fresh):
            open_jobs.look(supervisor.settings.cancel_grace, self.bench.clock.now)
        for name in ("jobs", "attempts", "holding", "held", "owners", "queued", "waiting"):
            assert getattr(kept, name) == getattr(fresh, name), name
        assert classes(kept.backlog) == classes(fresh.backlog)

    def teardown(self) -> None:
        """With Ray back and all drivers silent, everything comes to its end."""
        if not hasattr(self, "bench"):
            return
        self.bench.cluster.reachable, self.bench.cluster.stubborn = True, False
        for job in self.bench.get("/api/v1/jobs?limit=1000").json()["jobs"]:
            if job["status"] == "SUSPENDED":
                self.bench.post(f"/api/v1/jobs/{job['id']}/cancel")
        for _ in range(400):
            left = self.bench.get("/api/v1/jobs?limit=1000").json()["jobs"]
            if all(job["status"] in ENDED or job["status"] == "SUSPENDED" for job in left):
                break
            self.bench.step(seconds=14)
        else:
            raise AssertionError(f"never ended: {left}")
        self.bench.close()


AnyHistory.TestCase.settings = settings(
    max_examples=10,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestAnyHistory = AnyHistory.TestCase
