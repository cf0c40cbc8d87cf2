"""Statements over schedules, their firings and their events."""

from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from orchestrator.db.tables import jobs, schedule_events, schedule_ticks, schedules
from orchestrator.records import Job, JobEnd, Json, Schedule, ScheduleEvent, ScheduleFiring
from orchestrator.states import Status


def by_name(connection: Connection, project: str, name: str) -> Schedule | None:
    row = connection.execute(select(schedules).where(_is(project, name))).one_or_none()
    return Schedule(**row._mapping) if row else None


def _is(project: str, name: str) -> Any:
    return (schedules.c.project == project) & (schedules.c.name == name)


def of_project(connection: Connection, project: str) -> list[Schedule]:
    rows = connection.execute(select(schedules).where(schedules.c.project == project).order_by(schedules.c.name))
    return [Schedule(**row._mapping) for row in rows]


def all(connection: Connection) -> list[Schedule]:
    rows = connection.execute(select(schedules).order_by(schedules.c.project, schedules.c.name))
    return [Schedule(**row._mapping) for row in rows]


def to_fire(connection: Connection, now: float) -> list[Schedule]:
    """Return those with a due firing, and those that a clock set back left in the future."""
    due = (schedules.c.next_at <= now) | (schedules.c.considered > now)
    rows = connection.execute(select(schedules).where(schedules.c.suspended.is_(False), due))
    return [Schedule(**row._mapping) for row in rows]


def add(connection: Connection, schedule: Schedule) -> None:
    connection.execute(insert(schedules).values(**vars(schedule)))


def put(connection: Connection, schedule: Schedule) -> None:
    """Put the same schedule in another version."""
    connection.execute(update(schedules).where(_is(schedule.project, schedule.name)).values(**vars(schedule)))


def change(connection: Connection, project: str, name: str, **changes: Any) -> None:
    connection.execute(update(schedules).where(_is(project, name)).values(**changes))


def remove(connection: Connection, project: str, name: str) -> bool:
    """Remove the schedule; its firings stay, so that none can make a second job."""
    return connection.execute(delete(schedules).where(_is(project, name))).rowcount == 1


def decide(connection: Connection, firing: ScheduleFiring) -> bool:
    """Record the first decision on a firing, and only the first."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(schedule_ticks).values(**vars(firing)).on_conflict_do_nothing()
    return connection.execute(statement).rowcount == 1


def history(
    connection: Connection, project: str, name: str, limit: int = 1000
) -> list[tuple[ScheduleFiring, JobEnd | None]]:
    """Return firings, newest first, each with what became of its job."""
    mine = (schedule_ticks.c.project == project) & (schedule_ticks.c.schedule == name)
    query = select(schedule_ticks).where(mine).order_by(schedule_ticks.c.scheduled_time.desc()).limit(limit)
    firings = [ScheduleFiring(**row._mapping) for row in connection.execute(query)]
    wanted = [firing.job_id for firing in firings if firing.job_id]
    query = select(jobs.c.id, jobs.c.status, jobs.c.failure, jobs.c.ended).where(jobs.c.id.in_(wanted))
    found = {row.id: JobEnd(**row._mapping) for row in connection.execute(query)}
    return [(firing, found.get(firing.job_id or "")) for firing in firings]


def unfinished_jobs(connection: Connection, project: str, name: str) -> list[Job]:
    """Return what its earlier firings still have to do, followers included."""
    mine = (jobs.c.project == project) & (jobs.c.schedule == name) & jobs.c.ended.is_(None)
    return [Job(**row._mapping) for row in connection.execute(select(jobs).where(mine).order_by(jobs.c.submitted))]


def newest_firings(connection: Connection) -> dict[tuple[str, str], float]:
    """Return when each schedule last made a job, by scheduled time."""
    mine = (schedule_ticks.c.schedule == schedules.c.name) & (schedule_ticks.c.project == schedules.c.project)
    made = select(schedule_ticks.c.scheduled_time).where(mine, schedule_ticks.c.job_id.is_not(None))
    return _of_each(connection, made.order_by(schedule_ticks.c.scheduled_time.desc()).limit(1))


def newest_successes(connection: Connection) -> dict[tuple[str, str], float]:
    """Return when a job of each schedule last succeeded."""
    mine = (
        (jobs.c.schedule == schedules.c.name)
        & (jobs.c.name == schedules.c.name)
        & (jobs.c.project == schedules.c.project)
    )
    return _of_each(connection, select(func.max(jobs.c.ended)).where(mine, jobs.c.status == Status.SUCCEEDED))


def _of_each(connection: Connection, newest: Select[Any]) -> dict[tuple[str, str], float]:
    """Return a value of each schedule that has one, looked up by an index: its past may be long."""
    query = select(schedules.c.project, schedules.c.name, newest.scalar_subquery())
    return {(row[0], row[1]): row[2] for row in connection.execute(query) if row[2] is not None}


def note(
    connection: Connection,
    project: str,
    name: str,
    type: str,
    message: str,
    *,
    now: float,
    data: Json | None = None,
) -> None:
    values = {"project": project, "schedule": name, "time": now, "type": type, "message": message, "data": data}
    connection.execute(insert(schedule_events).values(**values))


def events(connection: Connection, project: str, name: str, limit: int = 1000) -> list[ScheduleEvent]:
    mine = (schedule_events.c.project == project) & (schedule_events.c.schedule == name)
    query = select(schedule_events).where(mine).order_by(schedule_events.c.seq.desc()).limit(limit)
    return [ScheduleEvent(**row._mapping) for row in connection.execute(query)][::-1]
