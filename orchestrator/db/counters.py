"""Counters that outlive retention and restarts. They move in the transaction of what they count."""

import json
from collections.abc import Iterator

from sqlalchemy import Connection, insert, select, update

from orchestrator.db.tables import counters

BUCKETS: dict[str, tuple[float, ...]] = {  # upper edges of histograms, in seconds
    "job_queue_wait_seconds": (1, 5, 15, 60, 300, 900, 3600, 14400, 86400),
    "job_run_duration_seconds": (10, 60, 300, 900, 3600, 14400, 43200, 86400, 604800),
    "schedule_lateness_seconds": (1, 5, 15, 60, 300, 900, 3600, 14400, 86400),
    "recovery_duration_seconds": (1, 5, 15, 30, 60, 120, 300, 900, 3600),
}


def add(connection: Connection, name: str, amount: float = 1, /, **labels: str) -> None:
    key = json.dumps(labels, sort_keys=True)
    here = (counters.c.name == name) & (counters.c.labels == key)
    changed = connection.execute(update(counters).where(here).values(value=counters.c.value + amount))
    if changed.rowcount == 0:
        connection.execute(insert(counters).values(name=name, labels=key, value=amount))


def observe(connection: Connection, name: str, value: float, /, **labels: str) -> None:
    """Add one observation of a histogram: to its own bucket, and to the sum."""
    edge = next((str(float(edge)) for edge in BUCKETS[name] if value <= edge), "+Inf")
    add(connection, f"{name}_bucket", le=edge, **labels)
    add(connection, f"{name}_sum", value, **labels)


def all(connection: Connection) -> Iterator[tuple[str, dict[str, str], float]]:
    for row in connection.execute(select(counters).order_by(counters.c.name, counters.c.labels)):
        yield row.name, json.loads(row.labels), row.value
