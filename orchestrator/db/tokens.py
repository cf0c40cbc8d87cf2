"""Statements over users' tokens, of which only hashes are kept."""

from sqlalchemy import Connection, delete, insert, select

from orchestrator.db.tables import tokens
from orchestrator.records import Token


def put(connection: Connection, token: Token) -> None:
    """Give an owner this one token of this role, instead of an earlier one."""
    earlier = (tokens.c.project == token.project) & (tokens.c.owner == token.owner) & (tokens.c.role == token.role)
    connection.execute(delete(tokens).where(earlier | (tokens.c.hash == token.hash)))
    connection.execute(insert(tokens).values(**vars(token)))


def by_hash(connection: Connection, hash: str) -> Token | None:
    row = connection.execute(select(tokens).where(tokens.c.hash == hash)).one_or_none()
    return Token(**row._mapping) if row else None
