"""Statements over attempts."""

from collections import defaultdict
from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, insert, select, update

from orchestrator.db.engine import touch
from orchestrator.db.tables import attempts, jobs
from orchestrator.policies.usage import Use
from orchestrator.records import Attempt
from orchestrator.scheduler import Amount
from orchestrator.states import ATTEMPT_LIVE


def add(connection: Connection, attempt: Attempt) -> None:
    """Add a new attempt. IntegrityError when its job has one of that number."""
    touch(connection, attempt.job_id)
    connection.execute(insert(attempts).values(**vars(attempt)))


def by_id(connection: Connection, attempt_id: str) -> Attempt | None:
    row = connection.execute(select(attempts).where(attempts.c.id == attempt_id)).one_or_none()
    return Attempt(**row._mapping) if row else None


def of_job(connection: Connection, job_id: str) -> list[Attempt]:
    query = select(attempts).where(attempts.c.job_id == job_id).order_by(attempts.c.number)
    return [Attempt(**row._mapping) for row in connection.execute(query)]


def of_jobs(connection: Connection, ids: Collection[str]) -> dict[str, list[Attempt]]:
    """Return every attempt of these jobs, by job, in order: what retry budgets are counted from."""
    wanted, found = sorted(ids), defaultdict(list)
    for begin in range(0, len(wanted), 500):
        mine = attempts.c.job_id.in_(wanted[begin : begin + 500])
        for row in connection.execute(select(attempts).where(mine).order_by(attempts.c.number)):
            found[row.job_id].append(Attempt(**row._mapping))
    return dict(found)


def unreleased(connection: Connection) -> list[Attempt]:
    """Return those that hold their place on the cluster, the living and those whose end Ray has not confirmed."""
    query = select(attempts).where(attempts.c.released.is_(None)).order_by(attempts.c.created)
    return [Attempt(**row._mapping) for row in connection.execute(query)]


def released(connection: Connection, after: float, until: float) -> list[Use]:
    """Return what those held that were released in this time: fair shares are reckoned from it."""
    columns = (attempts.c.created, attempts.c.released, attempts.c.workers, attempts.c.cpus_per_worker)
    query = select(jobs.c.queue, jobs.c.owner, *columns, attempts.c.gpus_per_worker).join(jobs)
    rows = connection.execute(query.where(attempts.c.released > after, attempts.c.released <= until))
    return [
        Use(
            who=(row.queue, row.owner),
            begin=row.created,
            end=row.released,
            size=Amount(row.cpus_per_worker, row.gpus_per_worker).times(row.workers),
        )
        for row in rows
    ]


def to_archive(connection: Connection) -> list[Attempt]:
    """Return those whose driver is gone and whose log is not in the bucket yet."""
    query = select(attempts).where(attempts.c.released.is_not(None), attempts.c.archived.is_(False))
    return [Attempt(**row._mapping) for row in connection.execute(query.order_by(attempts.c.ended).limit(50))]


def archived(connection: Connection, ids: Collection[str]) -> list[str]:
    """Return those of these whose log is in the bucket."""
    found = select(attempts.c.id).where(attempts.c.id.in_(ids), attempts.c.archived.is_(True))
    return list(connection.execute(found).scalars())


def claim(connection: Connection, attempt_id: str, **changes: Any) -> bool:
    """Record the first claim, and only the first."""
    _touch(connection, attempt_id)
    unclaimed = (attempts.c.id == attempt_id) & attempts.c.nonce_hash.is_(None) & attempts.c.status.in_(ATTEMPT_LIVE)
    return connection.execute(update(attempts).where(unclaimed).values(**changes)).rowcount == 1


def end(connection: Connection, attempt_id: str, **changes: Any) -> bool:
    """Record the first end, and only the first."""
    _touch(connection, attempt_id)
    live = (attempts.c.id == attempt_id) & attempts.c.status.in_(ATTEMPT_LIVE)
    return connection.execute(update(attempts).where(live).values(**changes)).rowcount == 1


def excuse(connection: Connection, job_id: str) -> None:
    """Excuse what failed so far: it counts in no budget any more."""
    touch(connection, job_id)
    connection.execute(update(attempts).where(attempts.c.job_id == job_id).values(excused=True))


def change(connection: Connection, attempt_id: str, **changes: Any) -> None:
    """Change what is no step of its life: heartbeats, what was asked of it, its release."""
    _touch(connection, attempt_id)
    connection.execute(update(attempts).where(attempts.c.id == attempt_id).values(**changes))


def _touch(connection: Connection, attempt_id: str) -> None:
    touch(connection, attempt_id.rpartition("-")[0])
