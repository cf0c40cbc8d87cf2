"""Schedules: look at them, their coming and past ticks; trigger, suspend, resume, delete. A submission makes them."""

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from sqlalchemy import Connection

from jobs.specs.errors import did_you_mean
from orchestrator import db
from orchestrator.admission import fire
from orchestrator.api import views
from orchestrator.api.jobs import TheWorks, User, find
from orchestrator.policies import cron
from orchestrator.records import Job, Schedule, ScheduleTick, Token

router = APIRouter(prefix="/api/v1/schedules", tags=["schedules"])


def find_schedule(connection: Connection, user: Token, name: str) -> Schedule:
    schedule = db.schedules.by_name(connection, user.project, name)
    if schedule is None:
        names = [each.name for each in db.schedules.of_project(connection, user.project)]
        raise HTTPException(404, f"there is no schedule {name!r} in project {user.project}{did_you_mean(name, names)}")
    return schedule


@router.get("")
def list_schedules(user: User, works: TheWorks) -> dict[str, Any]:
    with works.database.read() as connection:
        return {"schedules": [views.schedule(each) for each in db.schedules.of_project(connection, user.project)]}


@router.get("/{name}")
def get_schedule(name: str, user: User, works: TheWorks) -> dict[str, Any]:
    with works.database.read() as connection:
        schedule = find_schedule(connection, user, name)
        events = db.schedules.events(connection, user.project, name, limit=100)
    return {
        **views.schedule(schedule),
        "documents": schedule.documents,
        "events": [{**vars(event)} for event in events],
    }


@router.get("/{name}/next")
def coming(name: str, user: User, works: TheWorks, count: Annotated[int, Query(ge=1, le=1000)] = 5) -> dict[str, Any]:
    """The coming ticks, each with its jitter. A suspended schedule shows those it would have."""
    with works.database.read() as connection:
        schedule = find_schedule(connection, user, name)
    after = max(schedule.considered, works.clock())
    ticks = cron.coming(name, schedule.timing, after, count)
    shown = [
        {"scheduled_time": tick.scheduled, "at": tick.at, "text": cron.text(schedule.timing, tick.scheduled)}
        for tick in ticks
    ]
    return {"name": name, "suspended": schedule.suspended, "ticks": shown}


@router.get("/{name}/history")
def history(name: str, user: User, works: TheWorks, all: bool = False) -> dict[str, Any]:
    """Past ticks, newest first: as many of each end as the schedule's `history` says, or all."""
    with works.database.read() as connection:
        schedule = find_schedule(connection, user, name)
        ticks = db.schedules.history(connection, user.project, name)
    limits = schedule.timing.history
    shown = ticks if all else _within(ticks, limits.succeeded, limits.failed)
    return {"name": name, "ticks": [views.schedule_tick(*each) for each in shown]}


def _within(
    ticks: list[tuple[ScheduleTick, Job | None]], succeeded: int, failed: int
) -> list[tuple[ScheduleTick, Job | None]]:
    """Whatever has not ended, then the newest successes, and of the rest the newest."""
    left = {True: succeeded, False: failed}
    shown: list[tuple[ScheduleTick, Job | None]] = []
    for tick, job in ticks:
        if job is not None and not job.has_ended:
            shown.append((tick, job))
            continue
        is_success = job is not None and job.status == "SUCCEEDED"
        left[is_success] -= 1
        if left[is_success] >= 0:
            shown.append((tick, job))
    return shown


@router.post("/{name}/trigger", status_code=201)
def trigger(name: str, user: User, works: TheWorks) -> dict[str, Any]:
    """A tick out of turn, now. `forbid` and `replace` hold for it too; a suspended schedule may be triggered."""
    now = works.clock()
    with works.database.write() as connection:
        schedule = find_schedule(connection, user, name)
        running = db.schedules.unfinished_jobs(connection, user.project, name)
        turn = cron.turn(schedule.timing, [job.id for job in running])
        if turn in ("skip", "wait"):
            raise HTTPException(409, f"{running[0].id} still runs, and the concurrency of schedule {name} is forbid")
        job_id = fire.make(connection, schedule, now, running if turn == "replace" else [], now, now)
    works.wake()
    with works.database.read() as connection:
        if job_id is None:
            raise HTTPException(409, db.schedules.events(connection, user.project, name)[-1].message)
        return views.job(works, find(connection, user, job_id))


@router.post("/{name}/suspend")
def suspend(name: str, user: User, works: TheWorks) -> dict[str, Any]:
    """No ticks until `resume`; jobs that run go on."""
    return _set(name, user, works, True)


@router.post("/{name}/resume")
def resume(name: str, user: User, works: TheWorks) -> dict[str, Any]:
    """Ticks from now on: those of the rest are not caught up."""
    return _set(name, user, works, False)


def _set(name: str, user: Token, works: Any, suspended: bool) -> dict[str, Any]:
    now = works.clock()
    with works.database.write() as connection:
        schedule = find_schedule(connection, user, name)
        if schedule.suspended != suspended:
            _switch(connection, schedule, suspended, user, now)
        schedule = find_schedule(connection, user, name)
    works.wake()
    return views.schedule(schedule)


def _switch(connection: Connection, schedule: Schedule, suspended: bool, user: Token, now: float) -> None:
    changes: dict[str, Any] = {"suspended": suspended, "considered": now, "reason": None}
    ticks = cron.coming(schedule.name, schedule.timing, now, 1)
    changes["next_at"] = ticks[0].at if ticks else None
    db.schedules.change(connection, schedule.project, schedule.name, **changes)
    word = "suspended" if suspended else "resumed"
    db.schedules.note(connection, schedule.project, schedule.name, word, f"{word} by {user.owner}", now=now)


@router.delete("/{name}")
def delete(name: str, user: User, works: TheWorks) -> dict[str, Any]:
    """No more ticks; its jobs and their data stay."""
    with works.database.write() as connection:
        schedule = find_schedule(connection, user, name)
        db.schedules.remove(connection, user.project, name)
        message = f"deleted by {user.owner}"
        db.schedules.note(connection, user.project, name, "deleted", message, now=works.clock())
    return views.schedule(schedule)
