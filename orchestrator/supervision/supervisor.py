"""The one loop: look, decide, apply. Nothing else starts, stops or gives up an attempt."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain, islice

import structlog

from jobs import kinds
from orchestrator import db, lifecycle, scheduler, tokens
from orchestrator.admission import fire
from orchestrator.cluster import Cluster, Refused, Unreachable
from orchestrator.crash_points import crash_point
from orchestrator.observability.redact import Redactor
from orchestrator.policies import dependencies, sweeps, usage
from orchestrator.policies.liveness import Drivers
from orchestrator.records import Attempt, Job
from orchestrator.scheduler import Amount, Node, Plan, Preempt, Start
from orchestrator.settings import Settings
from orchestrator.states import Desired, Status
from orchestrator.supervision.attempts import AttemptReconciler, claim_code
from orchestrator.supervision.open_jobs import OpenJobs
from orchestrator.supervision.periodic import Loop

log = structlog.get_logger(__name__)

USAGE_AGE = 60.0  # seconds for which the reckoning of fair shares is good
MARK_AGE = 5.0  # seconds between two notes of how far the clock has come
CAPACITY_AGE = 5.0  # seconds for which the list of nodes is good
EXPLAINED = 5000  # queued jobs whose reasons are looked at in one step; the next step goes on with the others
UNREACHABLE = "waiting for Ray, which cannot be reached"


@dataclass
class Supervisor:
    database: db.Database
    cluster: Cluster
    settings: Settings
    redactor: Redactor
    clock: Callable[[], float] = time.time  # for durations and records: never steps
    wall: Callable[[], float] = time.time  # for calendars
    raises: bool = False  # tests want to see what a step would only log
    nodes: Sequence[Node] | None = None  # as last seen; None: Ray has not been reached yet, or no more
    last_step: float | None = None
    plan_seconds: Callable[[float], None] = lambda seconds: None  # told how long each plan took
    idle_since: float | None = None  # since when nobody waits for room
    open_jobs: OpenJobs = field(init=False)
    attempts: AttemptReconciler = field(init=False)
    _usage: Mapping[tuple[str, str], Amount] = field(default_factory=dict)
    _usage_seen: float = -1e18
    _settled: Mapping[tuple[str, str], Amount] = field(default_factory=dict)
    _since: float = 0.0  # no deadline began before this: the server was away until then, or could note nothing
    _arrivals: dict[str, float] = field(default_factory=dict)  # when each attempt's driver last called
    _marked: float = -1e18
    _nodes_seen: float = -1e9
    _explained: int = 0  # where the next step goes on with reasons

    def __post_init__(self) -> None:
        self.open_jobs = OpenJobs(self.database)
        self.attempts = AttemptReconciler(self.database, self.cluster, self.settings, self.redactor)
        self.loop = Loop("supervisor", self._run, self.settings.step_seconds)

    @contextmanager
    def isolated(self, name: str) -> Iterator[None]:
        """Let what goes wrong with one job or attempt hold up no other."""
        try:
            yield
        except Exception:
            if self.raises:
                raise
            log.exception("a decision failed", about=name)

    def _run(self) -> float:
        self.step()
        return self.settings.step_seconds

    def step(self) -> None:
        now = self._tell_time()
        if not self._can_note(now):
            return
        drivers = self._look(now)
        self._reconcile_attempts(drivers, now)
        self._reconcile_deadlines(now)
        self._reconcile_schedules(now)
        self._reconcile_waiting(now)
        self._start_jobs(now)

    def _tell_time(self) -> float:
        """Return the time; a gap since the last step means that this process slept, and every deadline begins anew."""
        now = self.clock()
        gap = None if self.last_step is None else now - self.last_step
        longest = max(self.settings.stalled_after / 4, 4 * self.settings.step_seconds)
        if gap is None or not 0 <= gap <= longest:
            self._since = now
        self.last_step = now
        return now

    def heard(self, attempt_id: str) -> None:
        """Note that an attempt's driver called, before anything is written: the database may be away."""
        self._arrivals[attempt_id] = self.clock()

    def _can_note(self, now: float) -> bool:
        """Try a write now and then, and at once after one that failed. While none succeeds, nobody is judged."""
        if self.database.unwritable is None and 0 <= now - self._marked < MARK_AGE:
            return True
        try:
            with self.database.write(patience=1.0) as connection:
                db.marks.put(connection, db.marks.CLOCK, now)
        except db.CannotWrite as error:
            log.warning("nobody is judged", error=str(error))
            self._since = now
            return False
        self._marked = now
        return True

    # --- look

    def _look(self, now: float) -> Drivers:
        self.open_jobs.look(self.settings.cancel_grace, now)
        drivers = self._see_drivers()
        self._see_nodes(now)
        self.open_jobs.look(self.settings.cancel_grace, now)  # what Ray knew by then has a row
        return drivers

    def _see_drivers(self) -> Drivers:
        """Ask Ray, only when an attempt holds something."""
        if not self.open_jobs.holding:
            return {}
        try:
            return self.cluster.drivers()
        except (Unreachable, Refused) as error:
            log.warning("cannot see drivers", error=str(error))
            return None

    def _see_nodes(self, now: float) -> Sequence[Node] | None:
        if self.nodes is not None and 0 <= now - self._nodes_seen < CAPACITY_AGE:
            return self.nodes
        try:
            # None alive: Ray has just begun. That is not known to be a cluster without room.
            self.nodes, self._nodes_seen = self.cluster.nodes() or None, now
        except (Unreachable, Refused) as error:
            if self.nodes is not None:
                log.warning("cannot see nodes", error=str(error))
            self.nodes = None
        return self.nodes

    # --- attempts

    def _reconcile_attempts(self, drivers: Drivers, now: float) -> None:
        for attempt in list(chain.from_iterable(self.open_jobs.holding.values())):
            with self.isolated(attempt.id):
                job = self.open_jobs.owners[attempt.job_id]
                self.attempts.reconcile(self._as_heard(attempt), job, drivers, self.nodes, now, self._since)
        for id in self._arrivals.keys() - {each.id for each in chain.from_iterable(self.open_jobs.holding.values())}:
            self._arrivals.pop(id, None)

    def _as_heard(self, attempt: Attempt) -> Attempt:
        heard = self._arrivals.get(attempt.id)
        return attempt if heard is None else replace(attempt, heartbeat=max(attempt.heartbeat or 0.0, heard))

    # --- deadlines

    def _reconcile_deadlines(self, now: float) -> None:
        running = [job for id, job in self.open_jobs.owners.items() if id in self.open_jobs.jobs]
        for job in chain(running, self.open_jobs.overdue(now)):
            with self.isolated(job.id):
                over = time_over(job, self.open_jobs.attempts.get(job.id, ()), now)
                if over and job.desired not in (Desired.FAIL, Desired.CANCEL):
                    self._end_of_time(job.id, *over, now)

    def _end_of_time(self, job_id: str, failure: str, reason: str, now: float) -> None:
        with self.database.write() as connection:
            job = db.jobs.by_id(connection, job_id)
            assert job is not None
            lifecycle.want(connection, job, Desired.FAIL, reason, failure, now)

    # --- schedules

    def _reconcile_schedules(self, now: float) -> None:
        wall = self.wall()
        with self.database.read() as connection:
            schedules = db.schedules.to_fire(connection, wall)
        for schedule in schedules:
            with self.isolated(f"schedule {schedule.name}"):
                fire.fire(self.database, schedule, now, wall)

    # --- waiting

    def _reconcile_waiting(self, now: float) -> None:
        self._end_unreadable(now)
        waiting = list(self.open_jobs.waiting.values())
        with self.database.read() as connection:
            needs = db.needs.of_waiting(connection) if waiting else {}
        for job in waiting:
            with self.isolated(job.id):
                if job.status == Status.WAITING:
                    self._reconcile_needs(job, dependencies.assess(needs.get(job.id, ())), now)
                elif now >= (job.not_before or 0):
                    with self.database.write() as connection:
                        lifecycle.enqueue(connection, job, "requeued", "queued again after its back-off", now)

    def _end_unreadable(self, now: float) -> None:
        """End what this version refuses: it was admitted by an earlier one."""
        for job, reason in list(self.open_jobs.unreadable.values()):
            with self.isolated(job.id), self.database.write() as connection:
                lifecycle.end(connection, job, "failed", reason, "spec", now)

    def _reconcile_needs(
        self, job: Job, state: dependencies.Met | dependencies.Unmet | dependencies.Unsatisfiable, now: float
    ) -> None:
        match state:
            case dependencies.Unsatisfiable(reason):
                with self.database.write() as connection:
                    lifecycle.end(connection, job, "failed", reason, "upstream", now)
            case dependencies.Unmet(reason):
                self._explain(job, reason)
            case dependencies.Met() if job.is_sweep:
                self._finish_sweep(job, now)
            case dependencies.Met() if job.pinned is None:
                pass  # pinning.py pins its references next
            case dependencies.Met():
                with self.database.write() as connection:
                    lifecycle.enqueue(connection, job, "ready", "all that it needs is there", now)

    def _finish_sweep(self, job: Job, now: float) -> None:
        """End a sweep with the last of its jobs."""
        names, mode = kinds.of(job.parsed).best(job.parsed)
        with self.database.write() as connection:
            children = []
            for need in db.needs.of_job(connection, job.id):
                child = db.jobs.by_id(connection, need.upstream_id)
                assert child is not None
                newest = db.attempts.by_id(connection, f"{child.id}-{child.attempt}")
                value = sweeps.measured(names, newest, db.ticks.newest(connection, child.id))
                children.append(sweeps.Child(job=child, value=value))
            best, said = sweeps.summarize(children, mode)
            pinned = {"jobs": [{"job_id": c.job.id, "job_name": c.job.name, "value": c.value} for c in children]}
            if best:
                pinned["best"] = {"job_id": best.id, "job_name": best.name}  # type: ignore[assignment]
            db.jobs.change(connection, job.id, pinned=pinned)
            if any(child.job.status == Status.SUCCEEDED for child in children):
                lifecycle.end(connection, job, "sweep_finished", said, None, now)
            else:
                lifecycle.end(connection, job, "failed", said.partition(";")[0], "upstream", now)

    def _explain(self, job: Job, reason: str) -> None:
        if job.reason != reason:
            with self.database.write() as connection:
                db.jobs.change(connection, job.id, reason=reason)

    # --- starts

    def _start_jobs(self, now: float) -> None:
        """Plan after another look: what the step has done so far may have made room or added to the queue."""
        self.open_jobs.look(self.settings.cancel_grace, now)
        if self.nodes is None:
            self._explain_queued([(list(self.open_jobs.queued), UNREACHABLE)])
            return
        began = time.perf_counter()
        plan = scheduler.decide(
            scheduler.Snapshot(
                held=list(chain.from_iterable(self.open_jobs.held.values())),
                nodes=self.nodes,
                policy=self.settings.policy,
                usage=self._recent_usage(now),
                now=now,
                idle_since=self.idle_since,
            ),
            self.open_jobs.backlog,
        )
        self.plan_seconds(time.perf_counter() - began)
        self.idle_since = None if plan.somebody_waits_for_room else min(self.idle_since or now, now)
        self._apply_plan(plan, now)

    def _apply_plan(self, plan: Plan, now: float) -> None:
        for start in plan.starts:
            with self.isolated(start.job_id):
                self._apply_start(self.open_jobs.jobs[start.job_id], start, now)
        for stop in plan.stops:
            with self.isolated(stop.job_id):
                self._apply_stop(stop, now)
        self._explain_queued([([job.job_id for job in each.jobs], each.reason) for each in plan.waiting])

    def _apply_start(self, job: Job, start: Start, now: float) -> None:
        crash_point("start: before the attempt's row")
        attempt_id = f"{job.id}-{job.attempt + 1}"
        with self.database.write() as connection:
            claim_hash = tokens.digest(claim_code(self.settings, attempt_id))
            attempt = lifecycle.start(connection, job, start, claim_hash, now)
        crash_point("start: after the attempt's row")
        if attempt:
            self.attempts.submit(job, attempt, now)

    def _apply_stop(self, stop: Preempt, now: float) -> None:
        with self.database.write() as connection:
            fresh = db.jobs.by_id(connection, stop.job_id)
            assert fresh is not None
            lifecycle.preempt(connection, fresh, stop, now)

    def _explain_queued(self, waits: Sequence[tuple[Sequence[str], str]]) -> None:
        """Explain a part in each step: with a hundred thousand queued, the reason of each is as old as a few steps."""
        count = sum(len(ids) for ids, _ in waits)
        begin = self._explained if self._explained < count else 0
        self._explained = begin + EXPLAINED
        each = ((id, reason) for ids, reason in waits for id in ids)
        jobs = self.open_jobs.jobs
        changed = [(id, reason) for id, reason in islice(each, begin, begin + EXPLAINED) if jobs[id].reason != reason]
        if changed:
            with self.database.write() as connection:
                db.jobs.explain(connection, changed)
            for id, reason in changed:
                self.open_jobs.explained(id, reason)

    def _recent_usage(self, now: float) -> Mapping[tuple[str, str], Amount]:
        """Return the decayed averages: of what was released, a running sum; of what is held, reckoned anew."""
        if not 0 <= now - self._usage_seen < USAGE_AGE:
            half_life = self.settings.policy.half_life
            is_later = now >= self._usage_seen > -1e17
            last = self._usage_seen if is_later else now - usage.REMEMBERED * half_life
            with self.database.read() as connection:
                released = db.attempts.released(connection, last, now)
            before = self._settled if is_later else {}
            self._settled = usage.settled(before, now - last, released, half_life, now)
            held = chain.from_iterable(self.open_jobs.holding.values())
            self._usage = usage.added(self._settled, usage.recent(held, self.open_jobs.owners, half_life, now))
            self._usage_seen = now
        return self._usage


def time_over(job: Job, attempts: Sequence[Attempt], now: float) -> tuple[str, str] | None:
    """Return (failure, reason) when the job ran, or waited in the queue, for longer than its spec allows."""
    spec = job.parsed
    ran = sum(attempt.seconds(now) for attempt in attempts if not attempt.excused or attempt.is_live)
    if spec.timeout is not None and ran > spec.timeout:
        return "timeout", f"it ran for {ran:.0f} s, and its timeout is {spec.timeout:g} s"
    if spec.queue_timeout is None or job.queued is None or not job.is_queued:
        return None
    waited = now - job.queued
    if waited > spec.queue_timeout:
        return "queue_timeout", f"it waited for {waited:.0f} s, and its queue_timeout is {spec.queue_timeout:g} s"
    return None
