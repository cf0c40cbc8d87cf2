"""A submission as one transaction: all its jobs or none, and the same answer for the same key."""

from collections.abc import Sequence

from sqlalchemy import Connection

from jobs.digest import of_json
from jobs.specs.spec import Plain
from orchestrator import db
from orchestrator.admission.admit import Admission, Admitted, Conflict
from orchestrator.records import Schedule
from orchestrator.states import Status


def enter(connection: Connection, admitted: Sequence[Admitted], now: float) -> None:
    """Add the rows and events of the new jobs, those that are needed first."""
    for each in admitted:
        if each.is_new:
            db.jobs.add(connection, each.job)
            waits = each.job.status == Status.WAITING
            message = "submitted; waits for what it needs" if waits else "submitted"
            data = {"owner": each.job.owner, "kind": each.job.kind}
            db.events.add(connection, each.job.id, "submitted", message, now=now, data=data)
    for each in admitted:
        for upstream_id, when in each.needs if each.is_new else ():
            db.needs.add(connection, each.job.id, upstream_id, when)


def enter_all(connection: Connection, admission: Admission, now: float) -> bool:
    """Enter everything that a submission asked for; return whether any of it is new."""
    enter(connection, admission.jobs, now)
    changed = [_enter_schedule(connection, schedule, now) for schedule in admission.schedules]
    return any(changed) or any(each.is_new for each in admission.jobs)


def _enter_schedule(connection: Connection, schedule: Schedule, now: float) -> bool:
    before = db.schedules.by_name(connection, schedule.project, schedule.name)
    if before == schedule:
        return False
    if before is None:
        db.schedules.add(connection, schedule)
    else:
        db.schedules.put(connection, schedule)
    type = "updated" if before else "created"
    jobs = ", ".join(document["name"] for document in schedule.documents)
    message = f"version {schedule.version}: {schedule.timing.cron} {schedule.timing.time_zone}, makes {jobs}"
    data = {"version": schedule.version, "digest": schedule.digest, "owner": schedule.owner}
    db.schedules.note(connection, schedule.project, schedule.name, type, message, now=now, data=data)
    return True


def digest(documents: Sequence[Plain]) -> str:
    return of_json(list(documents))


def earlier(connection: Connection, project: str, key: str, body_digest: str) -> tuple[list[str], list[str]] | None:
    """Return the ids and schedules that answered this key before. Raises Conflict when it came with another body."""
    found = db.answers.get(connection, project, key)
    if found is None:
        return None
    if found[0] != body_digest:
        raise Conflict(f"key {key!r} was used for another submission; a new submission needs a new key")
    return list(found[1]["jobs"]), list(found[1].get("schedules", []))
