"""Schedules: look at them, their coming and past firings; trigger, suspend, resume, delete. A submission makes them."""

from functools import partial
from typing import Annotated, cast

from fastapi import APIRouter, HTTPException, Query
from sqlalchemy import Connection

from jobs.specs.errors import did_you_mean
from orchestrator import db
from orchestrator.admission import fire
from orchestrator.admission.once import once
from orchestrator.api import views
from orchestrator.api.answers import (
    ComingAnswer,
    ComingFiring,
    HistoryAnswer,
    JobAnswer,
    ScheduleAnswer,
    ScheduleEventAnswer,
    SchedulesAnswer,
    WholeScheduleAnswer,
)
from orchestrator.api.jobs import Key, Server, User, find
from orchestrator.api.strict_json import StrictRoute
from orchestrator.policies import cron
from orchestrator.records import JobEnd, Schedule, ScheduleFiring, Token
from orchestrator.server.state import ServerState

router = APIRouter(route_class=StrictRoute, prefix="/api/v1/schedules", tags=["schedules"])


def find_schedule(connection: Connection, user: Token, name: str) -> Schedule:
    schedule = db.schedules.by_name(connection, user.project, name)
    if schedule is None:
        names = [each.name for each in db.schedules.of_project(connection, user.project)]
        raise HTTPException(404, f"there is no schedule {name!r} in project {user.project}{did_you_mean(name, names)}")
    return schedule


@router.get("")
def list_schedules(user: User, server: Server) -> SchedulesAnswer:
    with server.database.read() as connection:
        return {"schedules": [views.schedule(each) for each in db.schedules.of_project(connection, user.project)]}


@router.get("/{name}")
def get_schedule(name: str, user: User, server: Server) -> WholeScheduleAnswer:
    with server.database.read() as connection:
        schedule = find_schedule(connection, user, name)
        events = db.schedules.events(connection, user.project, name, limit=100)
    return {
        **views.schedule(schedule),
        "documents": schedule.documents,
        "events": [cast(ScheduleEventAnswer, {**vars(event)}) for event in events],
    }


@router.get("/{name}/next")
def coming(name: str, user: User, server: Server, count: Annotated[int, Query(ge=1, le=1000)] = 5) -> ComingAnswer:
    """List the coming firings, each with its jitter. A suspended schedule shows those it would have."""
    with server.database.read() as connection:
        schedule = find_schedule(connection, user, name)
    after = max(schedule.considered, server.wall())
    firings = cron.coming(name, schedule.timing, after, count)
    shown: list[ComingFiring] = [
        {"scheduled_time": firing.scheduled, "at": firing.at, "text": cron.text(schedule.timing, firing.scheduled)}
        for firing in firings
    ]
    return {"name": name, "suspended": schedule.suspended, "firings": shown}


@router.get("/{name}/history")
def history(name: str, user: User, server: Server, all: bool = False) -> HistoryAnswer:
    """List past firings, newest first: as many of each end as the schedule's `history` says, or all."""
    with server.database.read() as connection:
        schedule = find_schedule(connection, user, name)
        firings = db.schedules.history(connection, user.project, name)
    limits = schedule.timing.history
    shown = firings if all else _within(firings, limits.succeeded, limits.failed)
    return {"name": name, "firings": [views.schedule_firing(*each) for each in shown]}


def _within(
    firings: list[tuple[ScheduleFiring, JobEnd | None]], succeeded: int, failed: int
) -> list[tuple[ScheduleFiring, JobEnd | None]]:
    """Return whatever has not ended, then the newest successes, and of the rest the newest."""
    left = {True: succeeded, False: failed}
    shown: list[tuple[ScheduleFiring, JobEnd | None]] = []
    for firing, job in firings:
        if job is not None and not job.has_ended:
            shown.append((firing, job))
            continue
        is_success = job is not None and job.status == "SUCCEEDED"
        left[is_success] -= 1
        if left[is_success] >= 0:
            shown.append((firing, job))
    return shown


@router.post("/{name}/trigger", status_code=201)
def trigger(name: str, user: User, server: Server, key: Key = None) -> JobAnswer:
    """Fire once more, now. `forbid` and `replace` hold for it too; a suspended schedule may be triggered.

    With a key, the same again is answered with the same job.
    """
    with server.database.write() as connection:
        act = partial(_trigger, connection, name, user, server)
        made = once(connection, user.project, key, f"trigger {name}", server.clock(), act)
    server.wake()
    with server.database.read() as connection:
        if not made:
            raise HTTPException(409, db.schedules.events(connection, user.project, name)[-1].message)
        return views.job(server, find(connection, user, made[0]))


def _trigger(connection: Connection, name: str, user: Token, server: ServerState) -> list[str]:
    """Return the id of the job that it makes; nothing, where the schedule's own trouble keeps it from one."""
    schedule = find_schedule(connection, user, name)
    running = db.schedules.unfinished_jobs(connection, user.project, name)
    decision = cron.concurrency_decision(schedule.timing, [job.id for job in running])
    if decision in ("skip", "wait"):
        raise HTTPException(409, f"{running[0].id} still runs, and the concurrency of schedule {name} is forbid")
    replaced = running if decision == "replace" else []
    made = fire.make(connection, schedule, server.wall(), replaced, server.clock(), 0.0)
    return [made] if made else []


@router.post("/{name}/suspend")
def suspend(name: str, user: User, server: Server, key: Key = None) -> ScheduleAnswer:
    """Stop the firings until `resume`; jobs that run go on."""
    return _set(name, user, server, key, True)


@router.post("/{name}/resume")
def resume(name: str, user: User, server: Server, key: Key = None) -> ScheduleAnswer:
    """Resume the firings from now on: those of the rest are not caught up."""
    return _set(name, user, server, key, False)


def _set(name: str, user: Token, server: ServerState, key: str | None, suspended: bool) -> ScheduleAnswer:
    now = server.clock()
    with server.database.write() as connection:

        def act() -> list[str]:
            schedule = find_schedule(connection, user, name)
            if schedule.suspended != suspended:
                _switch(connection, schedule, suspended, user, now, server.wall())
            return []

        once(connection, user.project, key, f"{'suspend' if suspended else 'resume'} schedule {name}", now, act)
        schedule = find_schedule(connection, user, name)
    server.wake()
    return views.schedule(schedule)


def _switch(connection: Connection, schedule: Schedule, suspended: bool, user: Token, now: float, wall: float) -> None:
    firings = cron.coming(schedule.name, schedule.timing, wall, 1)
    next_at = firings[0].at if firings else None
    db.schedules.change(
        connection, schedule.project, schedule.name, suspended=suspended, considered=wall, reason=None, next_at=next_at
    )
    word = "suspended" if suspended else "resumed"
    db.schedules.note(connection, schedule.project, schedule.name, word, f"{word} by {user.owner}", now=now)


@router.delete("/{name}")
def delete(name: str, user: User, server: Server) -> ScheduleAnswer:
    """Delete a schedule: no more firings; its jobs and their data stay."""
    with server.database.write() as connection:
        schedule = find_schedule(connection, user, name)
        db.schedules.remove(connection, user.project, name)
        message = f"deleted by {user.owner}"
        db.schedules.note(connection, user.project, name, "deleted", message, now=server.clock())
    return views.schedule(schedule)
