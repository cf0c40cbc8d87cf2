"""Statements over the answers that keyed requests got."""

from sqlalchemy import Connection, delete, insert, select

from orchestrator.db.tables import answers
from orchestrator.records import Json


def get(connection: Connection, project: str, key: str) -> tuple[str, Json] | None:
    """Return (digest of the request's body, its answer)."""
    query = select(answers).where(answers.c.project == project, answers.c.key == key)
    row = connection.execute(query).one_or_none()
    return (row.body_digest, row.answer) if row else None


def keep(connection: Connection, project: str, key: str, body_digest: str, answer: Json, now: float) -> None:
    values = {"project": project, "key": key, "body_digest": body_digest, "answer": answer, "time": now}
    connection.execute(insert(answers).values(**values))


def forget(connection: Connection, before: float) -> None:
    """Drop answers that nobody asks for again."""
    connection.execute(delete(answers).where(answers.c.time < before))
