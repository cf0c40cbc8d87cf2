"""Statements over submitted texts: each is kept once, by its digest, however many jobs came of it."""

from sqlalchemy import Connection, delete, exists, insert, select

from jobs.digest import of_json
from orchestrator.db.tables import jobs, sources


def keep(connection: Connection, text: str) -> str:
    """Store a text, if it is not there, and return its digest."""
    digest = of_json(text)
    if connection.execute(select(sources.c.digest).where(sources.c.digest == digest)).first() is None:
        connection.execute(insert(sources).values(digest=digest, text=text))
    return digest


def drop_unused(connection: Connection, digest: str | None) -> None:
    """Delete a text that no job came of, or no more."""
    used = exists().where(jobs.c.source_digest == digest)
    connection.execute(delete(sources).where(sources.c.digest == digest, ~used))
