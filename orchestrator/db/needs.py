"""Statements over what jobs wait for."""

from collections import defaultdict
from collections.abc import Iterable

from sqlalchemy import Connection, delete, insert, select

from orchestrator.db.tables import jobs, needs
from orchestrator.records import Need
from orchestrator.states import Status

_ALL = select(
    needs,
    jobs.c.name.label("upstream_name"),
    jobs.c.status.label("upstream_status"),
    jobs.c.failure.label("upstream_failure"),
).join(jobs, jobs.c.id == needs.c.upstream_id)


def add(connection: Connection, job_id: str, upstream_id: str, when: str) -> None:
    connection.execute(insert(needs).values(job_id=job_id, upstream_id=upstream_id, when=when))


def put(connection: Connection, job_id: str, needed: Iterable[tuple[str, str]]) -> None:
    """Put what a job needs from here on, and nothing else."""
    connection.execute(delete(needs).where(needs.c.job_id == job_id))
    for upstream_id, when in needed:
        add(connection, job_id, upstream_id, when)


def of_job(connection: Connection, job_id: str) -> list[Need]:
    return [Need(**row._mapping) for row in connection.execute(_ALL.where(needs.c.job_id == job_id))]


def of_waiting(connection: Connection) -> dict[str, list[Need]]:
    """Return the needs of every WAITING job, by job, with what became of each."""
    waiting = select(jobs.c.id).where(jobs.c.status == Status.WAITING)
    found = defaultdict(list)
    for row in connection.execute(_ALL.where(needs.c.job_id.in_(waiting))):
        found[row.job_id].append(Need(**row._mapping))
    return dict(found)
