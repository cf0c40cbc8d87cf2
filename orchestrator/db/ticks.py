"""Statements over ticks. Each job keeps a bounded history: the older half thins out, the newest always stays."""

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, delete, func, insert, select

from orchestrator.db.tables import jobs, ticks
from orchestrator.records import Json, Tick


def add(connection: Connection, job_id: str, attempt: int, timed: Sequence[tuple[float, Json]]) -> None:
    """Add ticks of one attempt, each with its time."""
    rows = [{"job_id": job_id, "attempt": attempt, "time": time, "data": data} for time, data in timed]
    connection.execute(insert(ticks), rows)


def already_there(connection: Connection, job_id: str, attempt: int, times: Sequence[float]) -> list[Tick]:
    """Return the attempt's ticks at these times: a batch whose answer got lost comes again."""
    here = (ticks.c.job_id == job_id) & (ticks.c.attempt == attempt) & ticks.c.time.in_(times)
    return [Tick(**row._mapping) for row in connection.execute(select(ticks).where(here))]


def newest(connection: Connection, job_id: str) -> Tick | None:
    query = select(ticks).where(ticks.c.job_id == job_id).order_by(ticks.c.seq.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return Tick(**row._mapping) if row else None


def newest_of_unfinished(connection: Connection) -> dict[str, Tick]:
    """Return the newest tick of every unfinished job, by job."""
    newest = select(func.max(ticks.c.seq)).join(jobs).where(jobs.c.ended.is_(None)).group_by(ticks.c.job_id)
    rows = connection.execute(select(ticks).where(ticks.c.seq.in_(newest)))
    return {row.job_id: Tick(**row._mapping) for row in rows}


def newest_of(connection: Connection, ids: Collection[str]) -> dict[str, Tick]:
    """Return the newest tick of each of these jobs that has one."""
    newest = select(func.max(ticks.c.seq)).where(ticks.c.job_id.in_(ids)).group_by(ticks.c.job_id)
    rows = connection.execute(select(ticks).where(ticks.c.seq.in_(newest)))
    return {row.job_id: Tick(**row._mapping) for row in rows}


def after(connection: Connection, job_id: str, seq: int = 0, limit: int = 1000) -> list[Tick]:
    query = select(ticks).where(ticks.c.job_id == job_id, ticks.c.seq > seq).order_by(ticks.c.seq).limit(limit)
    return [Tick(**row._mapping) for row in connection.execute(query)]


def thin_out(connection: Connection, job_id: str, kept: int) -> None:
    """Drop every second tick but the newest when a job has more than `kept`: the curve keeps its whole span."""
    rows = connection.execute(select(ticks.c.seq).where(ticks.c.job_id == job_id).order_by(ticks.c.seq)).scalars().all()
    if len(rows) > kept:
        connection.execute(delete(ticks).where(ticks.c.seq.in_(rows[:-1:2])))
