"""Statements over moments that the server notes of itself."""

from sqlalchemy import Connection, insert, select, update

from orchestrator.db.tables import marks

CLOCK = "clock"  # how far the steady clock has come
READY = "ready"  # when /readyz last wrote


def put(connection: Connection, name: str, value: float) -> None:
    changed = connection.execute(update(marks).where(marks.c.name == name).values(value=value))
    if changed.rowcount == 0:
        connection.execute(insert(marks).values(name=name, value=value))


def get(connection: Connection, name: str) -> float | None:
    return connection.execute(select(marks.c.value).where(marks.c.name == name)).scalar()
