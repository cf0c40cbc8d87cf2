"""Statements over events: what happened, in order, for people and for the history checker."""

from sqlalchemy import Connection, insert, select

from orchestrator.db.tables import events
from orchestrator.records import Event, Json


def add(
    connection: Connection,
    job_id: str,
    type: str,
    message: str,
    *,
    now: float,
    attempt: int | None = None,
    data: Json | None = None,
) -> int:
    """Add a new event; return its number."""
    values = {"job_id": job_id, "attempt": attempt, "time": now, "type": type, "message": message, "data": data}
    return int(connection.execute(insert(events).values(**values).returning(events.c.seq)).scalar_one())


def after(connection: Connection, job_id: str, seq: int = 0, limit: int = 1000) -> list[Event]:
    query = select(events).where(events.c.job_id == job_id, events.c.seq > seq).order_by(events.c.seq).limit(limit)
    return [Event(**row._mapping) for row in connection.execute(query)]
