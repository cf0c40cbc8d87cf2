"""The steps in a job's life, each with its event and its counters in the caller's transaction.

The supervisor and the routes of drivers and users both come here; nobody else moves a status.
"""

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from orchestrator import db
from orchestrator.policies import retry, usage
from orchestrator.records import Attempt, Job, Json
from orchestrator.scheduler import Preempt, Start
from orchestrator.settings import Settings
from orchestrator.states import ACTIVE, ENDED, TRANSITIONS, AttemptStatus, Desired, Status


def move(
    connection: Connection,
    job: Job,
    transition: str,
    message: str,
    *,
    now: float,
    attempt: int | None = None,
    data: Json | None = None,
    **changes: Any,
) -> bool:
    """Make one guarded step and its event; False, and nothing done, when the job has moved on meanwhile."""
    if not db.jobs.move(connection, job.id, transition, **changes):
        return False
    seq = db.events.add(connection, job.id, transition, message, now=now, attempt=attempt, data=data)
    if TRANSITIONS[transition].target in ENDED:
        db.jobs.change(connection, job.id, ended_seq=seq)
    return True


def end(connection: Connection, job: Job, transition: str, reason: str, failure: str | None, now: float) -> bool:
    """Make the job's last step, counted."""
    number = job.attempt or None
    if not move(
        connection, job, transition, reason, now=now, attempt=number, reason=reason, failure=failure, ended=now
    ):
        return False
    labels = {"project": job.project, "queue": job.queue, "kind": job.kind}
    status = str(TRANSITIONS[transition].target)
    db.counters.add(connection, "jobs_finished_total", status=status, failure=failure or "", **labels)
    if job.started:
        db.counters.observe(connection, "job_run_duration_seconds", now - job.started, queue=job.queue, kind=job.kind)
    return True


def enqueue(connection: Connection, job: Job, transition: str, message: str, now: float) -> bool:
    return move(
        connection, job, transition, message, now=now, queued=now, not_before=None, reason=None, desired=Desired.RUN
    )


def start(connection: Connection, job: Job, decision: Start, claim_hash: str, now: float) -> Attempt | None:
    """Add the attempt's row, before Ray hears of it: a crash in between is repaired from the row."""
    number = job.attempt + 1
    size: dict[str, Any] = {
        "workers": decision.workers,
        "cpus_per_worker": decision.cpus_per_worker,
        "gpus_per_worker": decision.gpus_per_worker,
    }
    message = f"attempt {number}: {_gang(decision)}"
    if not move(connection, job, "started", message, now=now, attempt=number, data=size, reason=None):
        return None
    db.jobs.change(connection, job.id, attempt=number)
    attempt = Attempt(
        id=f"{job.id}-{number}",
        job_id=job.id,
        number=number,
        placement=dict(decision.placement),
        status=AttemptStatus.STARTING,
        claim_hash=claim_hash,
        created=now,
        **size,
    )
    db.attempts.add(connection, attempt)
    waited = now - (job.queued or job.submitted)
    db.counters.observe(connection, "job_queue_wait_seconds", waited, queue=job.queue, kind=job.kind)
    return attempt


def _gang(decision: Start) -> str:
    workers = f"{decision.workers} worker" + ("s" if decision.workers != 1 else "")
    each = f"{decision.cpus_per_worker:g} CPU" + (
        f" and {decision.gpus_per_worker:g} GPU" if decision.gpus_per_worker else ""
    )
    return f"{workers} of {each}"


def claimed(connection: Connection, job: Job, attempt: Attempt, host: str | None, now: float) -> None:
    where = f" on {host}" if host else ""
    first: dict[str, Any] = {} if job.started else {"started": now}
    move(connection, job, "running", f"attempt {attempt.number} runs{where}", now=now, attempt=attempt.number, **first)
    cause = _recovered_from(connection, attempt)
    if cause:
        since, failure = cause
        db.counters.observe(connection, "recovery_duration_seconds", now - since, cause=failure)


def _recovered_from(connection: Connection, attempt: Attempt) -> tuple[float, str] | None:
    """Return when and of what the attempt before failed."""
    before = [earlier for earlier in db.attempts.of_job(connection, attempt.job_id) if earlier.number < attempt.number]
    if not before or before[-1].failure is None or before[-1].ended is None:
        return None
    return before[-1].ended, before[-1].failure


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How an attempt ended, by its driver's result or by the supervisor's assessment."""

    status: AttemptStatus
    failure: str | None = None
    message: str = ""
    data: Json | None = None
    exit_code: int | None = None
    found: frozenset[str] = frozenset()  # expressions of the rules of `retry` that its text matches


def finish(connection: Connection, job: Job, attempt: Attempt, ending: Ending, settings: Settings, now: float) -> bool:
    """End the attempt, once, and move the job on. False when the attempt had ended before."""
    if ending.status == AttemptStatus.STOPPED and attempt.stop_asked is None:
        ending = Ending(status=ending.status, failure="stopped", message=ending.message or "stopped unasked")
    if ending.status == AttemptStatus.LOST and job.desired == Desired.PREEMPT:
        ending = replace(ending, failure="preempted")  # it was told to stop, and did not in time
    first = db.attempts.end(
        connection,
        attempt.id,
        status=ending.status,
        failure=ending.failure,
        message=ending.message or None,
        exit_code=ending.exit_code,
        result=ending.data,
        ended=now,
        reserved_until=now + settings.reserve_seconds,
    )
    if not first:
        return False
    _count(connection, job, attempt, ending, now)
    _note(connection, job, attempt, ending, now)
    attempts = db.attempts.of_job(connection, job.id)
    _move_on(connection, job, attempts, ending, now)
    return True


def _note(connection: Connection, job: Job, attempt: Attempt, ending: Ending, now: float) -> None:
    message = ending.message or f"attempt {attempt.number} {ending.status.lower()}"
    data = {"outcome": ending.status.lower(), "failure": ending.failure, "result": ending.data}
    db.events.add(connection, job.id, "attempt_ended", message, now=now, attempt=attempt.number, data=data)


def _count(connection: Connection, job: Job, attempt: Attempt, ending: Ending, now: float) -> None:
    outcome = ending.status.lower()
    db.counters.add(connection, "attempts_total", kind=job.kind, outcome=outcome, failure=ending.failure or "")
    kept = ending.status in (AttemptStatus.SUCCEEDED, AttemptStatus.STOPPED, AttemptStatus.CANCELLED)
    labels = {"project": job.project, "queue": job.queue, "use": "useful" if kept else "wasted"}
    seconds = attempt.seconds(now) * attempt.workers
    db.counters.add(connection, "cpu_seconds_total", seconds * attempt.cpus_per_worker, **labels)
    if attempt.gpus_per_worker:
        db.counters.add(connection, "gpu_seconds_total", seconds * attempt.gpus_per_worker, **labels)
    for day, amounts in usage.by_day(attempt, now, kept).items():
        for by, name in usage.names(job).items():
            db.usage.add(connection, job.project, by, name, day, amounts)


def _move_on(connection: Connection, job: Job, attempts: list[Attempt], ending: Ending, now: float) -> None:
    """Move the job on at the end of its attempt: a success always counts, then what is wanted, then retry."""
    number = attempts[-1].number
    if ending.status == AttemptStatus.SUCCEEDED:
        end(connection, job, "succeeded", ending.message or "succeeded", None, now)
    elif job.desired == Desired.FAIL:
        end(connection, job, "failed", job.reason or ending.message, job.failure, now)
    elif job.desired == Desired.CANCEL or ending.status == AttemptStatus.CANCELLED:
        end(connection, job, "cancelled", job.reason or "cancelled", None, now)
    elif job.desired == Desired.SUSPEND:
        move(connection, job, "suspended", "suspended", now=now, attempt=number, reason="suspended")
    elif ending.failure is None:
        back = f"stopped with a checkpoint; goes on from it ({job.reason})" if job.desired == Desired.PREEMPT else ""
        enqueue(connection, job, "requeued", back or "stopped with a checkpoint; goes on from it", now)
    else:
        _retry(connection, job, attempts, ending, now)


def _retry(connection: Connection, job: Job, attempts: list[Attempt], ending: Ending, now: float) -> None:
    assert ending.failure is not None
    decision = retry.decide(ending.failure, attempts, job.parsed.retry, now, ending.found)
    why = f"{ending.failure}: {ending.message}" if ending.message else ending.failure
    number = attempts[-1].number
    if isinstance(decision, retry.GiveUp):
        ended = f"{why} ({decision.reason})" if decision.is_limit else ending.message
        end(connection, job, "failed", ended or decision.reason, ending.failure, now)
        return
    if decision.excused:
        db.attempts.change(connection, attempts[-1].id, excused=True)
    message = f"attempt {number} ended: {why}; next one in {decision.at - now:.0f} s"
    data = {"failure": ending.failure, "at": decision.at}
    move(
        connection, job, "retrying", message, now=now, attempt=number, data=data,
        not_before=decision.at, reason=message, desired=Desired.RUN,
    )  # fmt: skip


def want(connection: Connection, job: Job, desired: Desired, reason: str, failure: str | None, now: float) -> bool:
    """Ask for the job's end or rest. With no attempt alive it is there at once; else its driver is told."""
    if job.has_ended or job.desired == Desired.CANCEL:
        return False
    if job.status not in ACTIVE:
        return _at_once(connection, job, desired, reason, failure, now)
    db.jobs.change(connection, job.id, desired=desired, reason=reason, failure=failure)
    move(connection, job, "stopping", reason, now=now, attempt=job.attempt)
    newest = db.attempts.by_id(connection, f"{job.id}-{job.attempt}")
    assert newest is not None
    db.attempts.change(connection, newest.id, stop_asked=newest.stop_asked or now)
    return True


STOPS = {"preempt": "preempted", "shrink": "shrunk", "grow": "grown"}  # kind of a stop -> its event


def preempt(connection: Connection, job: Job, decision: Preempt, now: float) -> bool:
    """Stop it for another's sake, or for another size: counted, unless it is to grow."""
    if job.desired != Desired.RUN or not want(connection, job, Desired.PREEMPT, decision.reason, None, now):
        return False
    event = STOPS[decision.kind]
    db.events.add(connection, job.id, event, decision.reason, now=now, attempt=job.attempt)
    if decision.kind != "grow":
        db.counters.add(connection, "preemptions_total", queue=job.queue)
    return True


def _at_once(connection: Connection, job: Job, desired: Desired, reason: str, failure: str | None, now: float) -> bool:
    if desired == Desired.SUSPEND:
        if job.status == Status.SUSPENDED:
            return False
        return move(connection, job, "suspended", reason, now=now, desired=desired, reason=reason)
    db.jobs.change(connection, job.id, desired=desired)
    return end(connection, job, "cancelled" if desired == Desired.CANCEL else "failed", reason, failure, now)


def retry_job(connection: Connection, job: Job, who: str, now: float) -> bool:
    """Let a job that failed or was cancelled go on, from its newest checkpoint and with all its budgets."""
    moved = move(
        connection, job, "retried", f"retried by {who}", now=now, desired=Desired.RUN, reason=None, failure=None,
        ended=None, ended_seq=None, archived=False, not_before=None,
    )  # fmt: skip
    if not moved:
        return False
    db.attempts.excuse(connection, job.id)
    return True


def resume(connection: Connection, job: Job, now: float) -> bool:
    return move(connection, job, "resumed", "resumed", now=now, desired=Desired.RUN, reason=None)
