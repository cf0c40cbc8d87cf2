"""The one loop: load a snapshot, decide, apply. Nothing else starts, stops or gives up an attempt."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import structlog

from orchestrator import asking, db, dependencies, keys, lifecycle, scheduler, sweeps, ticking, usage, watch
from orchestrator.cluster import Cluster, Refused, Unreachable
from orchestrator.crash import crash_point
from orchestrator.lifecycle import Ending
from orchestrator.records import Attempt, Job, Need
from orchestrator.redact import Redactor
from orchestrator.scheduler import Amount, Node, Preempt, Start, Wait
from orchestrator.settings import Settings
from orchestrator.states import AttemptStatus, Desired, Status
from orchestrator.watch import Drivers

log = structlog.get_logger(__name__)

KILL_AGAIN = 10.0  # seconds between two stops of the same driver
USAGE_AGE = 60.0  # seconds for which the reckoning of fair shares is good
CAPACITY_AGE = 5.0  # seconds for which the list of nodes is good
UNREACHABLE = "waiting for Ray, which cannot be reached"


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """All that one step decides from."""

    now: float
    since: float  # no deadline began before this: the server was away until then
    jobs: Mapping[str, Job]
    attempts: Mapping[str, Sequence[Attempt]]  # of unfinished jobs
    holding: Sequence[Attempt]  # not released yet
    needs: Mapping[str, Sequence[Need]]  # of waiting jobs
    drivers: Drivers
    nodes: Sequence[Node] | None  # None: Ray cannot be reached


@dataclass
class Supervisor:
    database: db.Database
    cluster: Cluster
    settings: Settings
    redactor: Redactor
    clock: Callable[[], float] = time.time
    last_step: float | None = None
    plan_seconds: Callable[[float], None] = lambda seconds: None  # told how long each plan took
    nodes: Sequence[Node] | None = None  # as last seen; None: Ray has not been reached yet, or no more
    raises: bool = False  # tests want to see what a step would only log
    idle_since: float | None = None  # since when nobody waits for room
    _usage: Mapping[tuple[str, str], Amount] = field(default_factory=dict)
    _usage_seen: float = -1e18
    _since: float = 0.0
    _nodes_seen: float = -1e9
    _awake: threading.Event = field(default_factory=threading.Event)
    _ending: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    # --- the loop

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        self._awake.set()

    def stop(self) -> None:
        self._ending.set()
        self._awake.set()
        if self._thread:
            self._thread.join(timeout=30)

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                self.step()
            except Exception:
                # One bad step must not end the works; the next one begins from the database again.
                log.exception("step failed")
            self._awake.wait(self.settings.step_seconds)
            self._awake.clear()

    def step(self) -> None:
        now = self._tell_time()
        snapshot = self._load(now)
        self._mind_attempts(snapshot)
        self._mind_deadlines(snapshot)
        self._mind_schedules(now)
        self._mind_waiting(snapshot)
        self._start_jobs(now)

    def _tell_time(self) -> float:
        """The time; a gap since the last step means that this process slept, and every deadline begins anew."""
        now = self.clock()
        gap = None if self.last_step is None else now - self.last_step
        longest = max(self.settings.stalled_after / 4, 4 * self.settings.step_seconds)
        if gap is None or not 0 <= gap <= longest:
            self._since = now
        self.last_step = now
        return now

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """What goes wrong with one job or attempt holds up no other."""
        try:
            yield
        except Exception:
            if self.raises:
                raise
            log.exception("a decision failed", about=name)

    # --- load

    def _load(self, now: float) -> Snapshot:
        drivers = self._see_drivers()  # before the rows: what Ray knows by then has a row
        nodes = self._see_nodes(now)
        with self.database.read() as connection:
            return Snapshot(
                now=now,
                since=self._since,
                jobs={job.id: job for job in db.jobs.unfinished(connection)},
                attempts=db.attempts.of_unfinished(connection),
                holding=db.attempts.unreleased(connection),
                needs=db.needs.of_waiting(connection),
                drivers=drivers,
                nodes=nodes,
            )

    def _see_drivers(self) -> Drivers:
        """Ray is asked only when an attempt holds something."""
        with self.database.read() as connection:
            if not db.attempts.unreleased(connection):
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

    def _mind_attempts(self, snapshot: Snapshot) -> None:
        for attempt in snapshot.holding:
            with self._alone(attempt.id):
                self._mind_attempt(attempt, snapshot)

    def _mind_attempt(self, attempt: Attempt, snapshot: Snapshot) -> None:
        if attempt.is_live:
            verdict = watch.judge(attempt, snapshot.drivers, self.settings, snapshot.now, snapshot.since)
            self._apply(snapshot.jobs[attempt.job_id], attempt, verdict, snapshot.drivers, snapshot.now)
        else:
            self._apply_ended(attempt, watch.judge_ended(attempt, snapshot.drivers, snapshot.now), snapshot.now)

    def _apply(self, job: Job, attempt: Attempt, verdict: watch.Verdict, drivers: Drivers, now: float) -> None:
        match verdict:
            case watch.Submit():
                self._submit(job, attempt, now)
            case watch.Adopt():
                self._adopt(job, attempt, now)
            case watch.Ended():
                self._change(attempt, driver_ended=now)
            case watch.Kill():
                self._kill(attempt, now)
            case watch.Lost(failure, message):
                driver = (drivers or {}).get(attempt.id)
                self._lose(attempt, failure, message, driver.message if driver else "", now)

    def _apply_ended(self, attempt: Attempt, verdict: watch.Fine | watch.Kill | watch.Release, now: float) -> None:
        match verdict:
            case watch.Kill():
                self._kill(attempt, now)
            case watch.Release():
                self._change(attempt, released=now)

    def _submit(self, job: Job, attempt: Attempt, now: float) -> None:
        try:
            self.cluster.submit(
                attempt.id,
                self.settings.entrypoint,
                self._environment(attempt),
                {"job_name": job.name, "job_id": job.id},
            )
        except Unreachable as error:
            # Perhaps it took it all the same: the next step looks the id up.
            log.warning("submission unanswered", attempt=attempt.id, error=str(error))
        except Refused as error:
            self._end(attempt, Ending(status=AttemptStatus.FAILED, failure="submit", message=str(error)), now)
        else:
            crash_point("start: after Ray took it")
            self._change(attempt, submitted=now)
            crash_point("start: after the note of it")

    def _environment(self, attempt: Attempt) -> dict[str, str]:
        """What a driver is started with. Ray shows it in plain text: the claim is good for one use and opens nothing."""
        grace = self.settings.cancel_grace
        return {
            "GANWORKS_URL": self.settings.advertised,
            "GANWORKS_ATTEMPT": attempt.id,
            "GANWORKS_CLAIM": claim_code(self.settings, attempt.id),
            "RAY_TRAIN_ENABLE_STATE_TRACKING": "1",
            "RAY_JOB_STOP_WAIT_TIME_S": f"{min(grace, 20):.0f}",
            "RAY_CHDIR_TO_TRIAL_DIR": "0",
            "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
        }

    def _adopt(self, job: Job, attempt: Attempt, now: float) -> None:
        with self.database.write() as connection:
            db.attempts.change(connection, attempt.id, submitted=now)
            message = f"attempt {attempt.number} found in Ray and adopted"
            db.events.add(connection, job.id, "adopted", message, now=now, attempt=attempt.number)

    def _kill(self, attempt: Attempt, now: float) -> None:
        if attempt.kill_asked is not None and now - attempt.kill_asked < KILL_AGAIN:
            return
        if self._stop_in_ray(attempt) and attempt.kill_asked is None:
            with self.database.write() as connection:
                db.attempts.change(connection, attempt.id, kill_asked=now)
                message = f"attempt {attempt.number} is stopped through Ray"
                db.events.add(connection, attempt.job_id, "killed", message, now=now, attempt=attempt.number)

    def _stop_in_ray(self, attempt: Attempt) -> bool:
        try:
            self.cluster.stop(attempt.id)
        except (Unreachable, Refused) as error:
            log.warning("stop unanswered", attempt=attempt.id, error=str(error))
            return False
        return True

    def _lose(self, attempt: Attempt, failure: str, message: str, log: str, now: float) -> None:
        """Stopped through Ray first, then lost; it keeps its place until Ray confirms or the reservation ends."""
        crash_point("lose: before Ray stops it")
        if attempt.driver_ended is None:
            self._stop_in_ray(attempt)
        crash_point("lose: after Ray stopped it")
        gone = sorted(set(attempt.placement) - {node.id for node in self.nodes or ()}) if self.nodes else []
        if failure == "lost" and gone:
            failure, message = "node_lost", f"node {', '.join(gone)} is gone; {message}"
        code = watch.exit_code(log)
        lost = Ending(status=AttemptStatus.LOST, failure=failure, message=message, exit_code=code, log=log)
        self._end(attempt, lost, now)
        crash_point("lose: after the note of it")

    def _end(self, attempt: Attempt, ending: Ending, now: float) -> None:
        with self.database.write() as connection:
            job = db.jobs.by_id(connection, attempt.job_id)
            fresh = db.attempts.by_id(connection, attempt.id)
            assert job is not None
            assert fresh is not None
            # Ray's message may quote the driver's log.
            ending = replace(ending, message=self.redactor.text(ending.message))
            lifecycle.finish(connection, job, fresh, ending, self.settings, now)

    def _change(self, attempt: Attempt, **changes: float) -> None:
        with self.database.write() as connection:
            db.attempts.change(connection, attempt.id, **changes)

    # --- deadlines

    def _mind_deadlines(self, snapshot: Snapshot) -> None:
        for job in snapshot.jobs.values():
            with self._alone(job.id):
                over = time_over(job, snapshot.attempts.get(job.id, ()), snapshot.now)
                if over and job.desired not in (Desired.FAIL, Desired.CANCEL):
                    self._end_of_time(job.id, *over, snapshot.now)

    def _end_of_time(self, job_id: str, failure: str, reason: str, now: float) -> None:
        with self.database.write() as connection:
            job = db.jobs.by_id(connection, job_id)
            assert job is not None
            lifecycle.want(connection, job, Desired.FAIL, reason, failure, now)

    # --- schedules

    def _mind_schedules(self, now: float) -> None:
        with self.database.read() as connection:
            schedules = db.schedules.to_mind(connection, now)
        for schedule in schedules:
            with self._alone(f"schedule {schedule.name}"):
                ticking.mind(self.database, schedule, now)

    # --- waiting

    def _mind_waiting(self, snapshot: Snapshot) -> None:
        for job in snapshot.jobs.values():
            with self._alone(job.id):
                if job.status == Status.WAITING:
                    self._mind_needs(job, dependencies.judge(snapshot.needs.get(job.id, ())), snapshot.now)
                elif job.status == Status.RETRYING and snapshot.now >= (job.not_before or 0):
                    with self.database.write() as connection:
                        lifecycle.enqueue(connection, job, "requeued", "queued again after its back-off", snapshot.now)

    def _mind_needs(
        self, job: Job, verdict: dependencies.Met | dependencies.Unmet | dependencies.Doomed, now: float
    ) -> None:
        match verdict:
            case dependencies.Doomed(reason):
                with self.database.write() as connection:
                    lifecycle.end(connection, job, "failed", reason, "upstream", now)
            case dependencies.Unmet(reason):
                self._explain(job, reason)
            case dependencies.Met() if job.is_sweep:
                self._gather(job, now)
            case dependencies.Met() if job.pinned is None:
                pass  # errands.py pins its references next
            case dependencies.Met():
                with self.database.write() as connection:
                    lifecycle.enqueue(connection, job, "ready", "all that it needs is there", now)

    def _gather(self, job: Job, now: float) -> None:
        """A sweep ends with the last of its jobs."""
        names, mode = sweeps.metric_of(job.parsed)
        with self.database.write() as connection:
            children = []
            for need in db.needs.of_job(connection, job.id):
                child = db.jobs.by_id(connection, need.upstream_id)
                assert child is not None
                newest = db.attempts.by_id(connection, f"{child.id}-{child.attempt}")
                value = sweeps.measured(names, newest, db.ticks.newest(connection, child.id))
                children.append(sweeps.Child(job=child, value=value))
            best, said = sweeps.gathered(children, mode)
            pinned = {"jobs": [{"job_id": c.job.id, "job_name": c.job.name, "value": c.value} for c in children]}
            if best:
                pinned["best"] = {"job_id": best.id, "job_name": best.name}  # type: ignore[assignment]
            db.jobs.change(connection, job.id, pinned=pinned)
            if any(child.job.status == Status.SUCCEEDED for child in children):
                lifecycle.end(connection, job, "gathered", said, None, now)
            else:
                lifecycle.end(connection, job, "failed", said.partition(";")[0], "upstream", now)

    def _explain(self, job: Job, reason: str) -> None:
        if job.reason != reason:
            with self.database.write() as connection:
                db.jobs.change(connection, job.id, reason=reason)

    # --- starts

    def _start_jobs(self, now: float) -> None:
        """From fresh rows: what the step has done so far may have made room or added to the queue."""
        with self.database.read() as connection:
            jobs = {job.id: job for job in db.jobs.unfinished(connection)}
            attempts = db.attempts.of_unfinished(connection)
            held = db.attempts.unreleased(connection)
            owners = db.jobs.with_attempts(connection, held)
        queued = {job.id: job for job in jobs.values() if job.is_queued}
        if self.nodes is None:
            for job in queued.values():
                self._explain(job, UNREACHABLE)
            return
        began = time.perf_counter()
        grace = self.settings.cancel_grace
        plan = scheduler.decide(
            scheduler.Snapshot(
                queued=[asking.asks(job, attempts.get(job.id, ()), grace, now) for job in queued.values()],
                held=[asking.holds(a, owners[a.job_id], attempts.get(a.job_id, ()), grace, now) for a in held],
                nodes=self.nodes,
                policy=self.settings.policy,
                usage=self._recent_usage(now),
                now=now,
                idle_since=self.idle_since,
            )
        )
        self.plan_seconds(time.perf_counter() - began)
        self.idle_since = None if plan.somebody_waits_for_room else min(self.idle_since or now, now)
        for decision in plan.decisions():
            with self._alone(decision.job_id):
                self._apply_plan(jobs[decision.job_id], decision, now)

    def _recent_usage(self, now: float) -> Mapping[tuple[str, str], Amount]:
        if not 0 <= now - self._usage_seen < USAGE_AGE:
            half_life = self.settings.policy.half_life
            with self.database.read() as connection:
                attempts = db.attempts.since(connection, now - usage.REMEMBERED * half_life)
                jobs = db.jobs.with_attempts(connection, attempts)
            self._usage, self._usage_seen = usage.recent(attempts, jobs, half_life, now), now
        return self._usage

    def _apply_plan(self, job: Job, decision: Start | Preempt | Wait, now: float) -> None:
        if isinstance(decision, Wait):
            self._explain(job, decision.reason)
            return
        if isinstance(decision, Preempt):
            with self.database.write() as connection:
                fresh = db.jobs.by_id(connection, job.id)
                assert fresh is not None
                lifecycle.preempt(connection, fresh, decision, now)
            return
        crash_point("start: before the attempt's row")
        attempt_id = f"{job.id}-{job.attempt + 1}"
        with self.database.write() as connection:
            claim_hash = keys.digest(claim_code(self.settings, attempt_id))
            attempt = lifecycle.start(connection, job, decision, claim_hash, now)
        crash_point("start: after the attempt's row")
        if attempt:
            self._submit(job, attempt, now)


def claim_code(settings: Settings, attempt_id: str) -> str:
    """Derived, so that an attempt submitted twice after a crash carries one code, whichever driver comes first."""
    return keys.derived(settings.token, "claim", attempt_id)


def time_over(job: Job, attempts: Sequence[Attempt], now: float) -> tuple[str, str] | None:
    """(failure, reason) when the job ran, or waited in the queue, for longer than its spec allows."""
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
