"""The database: its tables, how it is opened and brought up to date, and every statement by name, one file a noun."""

from orchestrator.db import answers, attempts, counters, events, jobs, needs, schedules, ticks, tokens
from orchestrator.db.engine import Database
from orchestrator.db.migrate import NewerDatabase, migrate

__all__ = [
    "Database",
    "NewerDatabase",
    "answers",
    "attempts",
    "counters",
    "events",
    "jobs",
    "migrate",
    "needs",
    "schedules",
    "ticks",
    "tokens",
]
