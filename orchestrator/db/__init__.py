"""The database: its tables, how it is opened and brought up to date, and every statement by name, one file a noun."""

from orchestrator.db import (
    answers,
    attempts,
    counters,
    events,
    jobs,
    marks,
    needs,
    schedules,
    sources,
    ticks,
    tokens,
    usage,
)
from orchestrator.db.engine import CannotWrite, Database
from orchestrator.db.migrate import NewerDatabase, migrate

__all__ = [
    "CannotWrite",
    "Database",
    "NewerDatabase",
    "answers",
    "attempts",
    "counters",
    "events",
    "jobs",
    "marks",
    "migrate",
    "needs",
    "schedules",
    "sources",
    "ticks",
    "tokens",
    "usage",
]
