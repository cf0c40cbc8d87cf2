"""Firings made into jobs: what `cron.py` decided, applied, each firing in one transaction with its row.

The firing's row is what makes it once: a crash before the commit leaves nothing, a crash after it leaves all.
"""

from dataclasses import replace

import structlog
from sqlalchemy import Connection

from jobs.specs.errors import SpecError
from orchestrator import db, lifecycle
from orchestrator.admission import admit, submission
from orchestrator.policies import cron, schedule_documents
from orchestrator.policies.cron import Firing
from orchestrator.records import Job, Schedule, ScheduleFiring
from orchestrator.states import Desired, Status

log = structlog.get_logger(__name__)


def fire(database: db.Database, schedule: Schedule, now: float) -> None:
    """Decide everything due of one schedule, firing by firing. The first that has to wait holds up those after it."""
    last = min(schedule.considered, now)  # a clock set back decides again, and the rows of firings say what is done
    for firing in cron.due(schedule.name, schedule.timing, last, now):
        with database.write() as connection:
            if not _fire(connection, schedule, firing, now):
                return
        last = firing.scheduled
    with database.write() as connection:
        _pass(connection, schedule, last, now)


def _pass(connection: Connection, schedule: Schedule, considered: float, now: float) -> None:
    """Count only later firings from here on. After an outage beyond the horizon, that is no look back."""
    considered = max(considered, now - cron.HORIZON)
    at = schedule_documents.next_at(replace(schedule, considered=considered))
    changes = {"considered": considered, "next_at": at, "reason": None}
    db.schedules.change(connection, schedule.project, schedule.name, **changes)


def _fire(connection: Connection, schedule: Schedule, firing: Firing, now: float) -> bool:
    """Decide one firing. False: it waits."""
    if firing.missed:
        _note(connection, schedule, firing.scheduled, "missed", firing.missed, None, now)
    else:
        running = db.schedules.unfinished_jobs(connection, schedule.project, schedule.name)
        decision = cron.concurrency_decision(schedule.timing, [job.id for job in running])
        if decision == "wait":
            reason = f"the firing of {cron.text(schedule.timing, firing.scheduled)} waits for {running[0].id}"
            db.schedules.change(connection, schedule.project, schedule.name, reason=reason)
            return False
        if decision == "skip":
            reason = f"{running[0].id} still runs, and concurrency is forbid"
            _note(connection, schedule, firing.scheduled, "skipped", reason, None, now)
        else:
            make(connection, schedule, firing.scheduled, running if decision == "replace" else [], now, firing.at)
    db.schedules.change(connection, schedule.project, schedule.name, considered=firing.scheduled)
    return True


def make(
    connection: Connection, schedule: Schedule, scheduled: float, replaced: list[Job], now: float, at: float
) -> str | None:
    """Enter the jobs of a firing, in place of `replaced`; returns the id of the scheduled one, or None when the firing has been before."""
    try:
        admitted = admit.firing_jobs(connection, schedule, scheduled, now)
    except SpecError as error:
        _note(connection, schedule, scheduled, "skipped", f"refused: {error}", None, now)
        return None
    outcome, reason = ("replaced", f"in place of {replaced[0].id}") if replaced else ("started", None)
    first = admitted[0].job
    if not _note(connection, schedule, scheduled, outcome, reason, first.id, now):
        return None
    if replaced:
        # They end first: two jobs of one schedule would write under one name.
        admitted = [replace(each, needs=each.needs + _ends(replaced), job=_waiting(each.job)) for each in admitted]
    submission.enter(connection, admitted, now)
    for job in replaced:
        lifecycle.want(connection, job, Desired.CANCEL, f"replaced by {first.id}", None, now)
    db.counters.observe(connection, "schedule_lateness_seconds", max(now - at, 0.0))
    return first.id


def _ends(replaced: list[Job]) -> tuple[tuple[str, str], ...]:
    return tuple((job.id, "finished") for job in replaced)


def _waiting(job: Job) -> Job:
    return replace(job, status=Status.WAITING, queued=None)


def _note(
    connection: Connection,
    schedule: Schedule,
    scheduled: float,
    outcome: str,
    reason: str | None,
    job_id: str | None,
    now: float,
) -> bool:
    """Add the firing's row, its event and its count. False: this firing has been decided before."""
    firing = ScheduleFiring(
        project=schedule.project,
        schedule=schedule.name,
        scheduled_time=scheduled,
        decided=now,
        version=schedule.version,
        outcome=outcome,
        reason=reason,
        job_id=job_id,
    )
    if not db.schedules.decide(connection, firing):
        return False
    when = cron.text(schedule.timing, scheduled)
    message = f"firing of {when} {outcome}" + (f": {reason}" if reason else "")
    data = {"scheduled_time": scheduled, "version": schedule.version, "job_id": job_id}
    db.schedules.note(connection, schedule.project, schedule.name, outcome, message, now=now, data=data)
    labels = {"project": schedule.project, "schedule": schedule.name, "outcome": outcome}
    db.counters.add(connection, "schedule_ticks_total", **labels)
    return True
