"""Statements over jobs."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from orchestrator.db.engine import touch
from orchestrator.db.sources import drop_unused
from orchestrator.db.tables import attempts, events, jobs, needs, ticks
from orchestrator.records import Attempt, Job, JobSummary
from orchestrator.states import ENDED, TRANSITIONS, Status


def add(connection: Connection, job: Job) -> None:
    """Add a new job. IntegrityError when its name has an unfinished one."""
    touch(connection, job.id)
    last = connection.execute(select(func.max(jobs.c.seq))).scalar() or 0
    connection.execute(insert(jobs).values(**{**vars(job), "seq": last + 1}))


def by_id(connection: Connection, job_id: str) -> Job | None:
    row = connection.execute(select(jobs).where(jobs.c.id == job_id)).one_or_none()
    return Job(**row._mapping) if row else None


def find(connection: Connection, project: str, id_or_name: str) -> Job | None:
    """Find a job of the project by its id, or else the newest of that name, an unfinished one first."""
    job = by_id(connection, id_or_name)
    if job is not None and job.project == project:
        return job
    query = select(jobs).where(jobs.c.project == project, jobs.c.name == id_or_name)
    query = query.order_by(jobs.c.ended.is_(None).desc(), jobs.c.seq.desc())
    row = connection.execute(query.limit(1)).one_or_none()
    return Job(**row._mapping) if row else None


def ids_from(connection: Connection, project: str, beginning: str, limit: int = 5) -> list[str]:
    """Return the ids of a project that begin so, the oldest first. Ids are ASCII and sort by time."""
    query = select(jobs.c.id).where(jobs.c.project == project, jobs.c.id >= beginning, jobs.c.id < beginning + "~")
    return list(connection.execute(query.order_by(jobs.c.id).limit(limit)).scalars())


def unfinished_of_name(connection: Connection, project: str, name: str) -> Job | None:
    """Return the newest. Of submitted ones there is one at most: an index says so."""
    query = select(jobs).where(jobs.c.project == project, jobs.c.name == name, jobs.c.ended.is_(None))
    row = connection.execute(query.order_by(jobs.c.seq.desc()).limit(1)).one_or_none()
    return Job(**row._mapping) if row else None


def newest_ended(connection: Connection, project: str, name: str, statuses: Collection[str]) -> Job | None:
    """Return the newest job of that name that ended in one of these ways."""
    query = select(jobs).where(jobs.c.project == project, jobs.c.name == name, jobs.c.status.in_(statuses))
    row = connection.execute(query.order_by(jobs.c.ended_seq.desc(), jobs.c.seq.desc()).limit(1)).one_or_none()
    return Job(**row._mapping) if row else None


def unfinished(connection: Connection) -> list[Job]:
    """Return all that the supervisor has to think of, in the order of submission."""
    query = select(jobs).where(jobs.c.ended.is_(None)).order_by(jobs.c.seq)
    return [Job(**row._mapping) for row in connection.execute(query)]


def to_prepare(connection: Connection) -> list[Job]:
    """Return those whose references are to be pinned, or whose job.yaml is not in the bucket yet,
    in the order of submission."""
    to_pin = (jobs.c.status == Status.WAITING) & jobs.c.pinned.is_(None)
    to_describe = jobs.c.pinned.is_not(None) & jobs.c.described.is_(False)
    query = select(jobs).where(jobs.c.ended.is_(None), to_pin | to_describe).order_by(jobs.c.seq)
    return [Job(**row._mapping) for row in connection.execute(query)]


def open_ids(connection: Connection) -> list[str]:
    """Return the ids of unfinished jobs, and of those with an attempt that still holds something."""
    holding = select(attempts.c.job_id).where(attempts.c.released.is_(None))
    return list(connection.execute(select(jobs.c.id).where(jobs.c.ended.is_(None) | jobs.c.id.in_(holding))).scalars())


def by_ids(connection: Connection, ids: Collection[str]) -> dict[str, Job]:
    wanted, found = sorted(ids), {}
    for begin in range(0, len(wanted), 500):
        for row in connection.execute(select(jobs).where(jobs.c.id.in_(wanted[begin : begin + 500]))):
            found[row.id] = Job(**row._mapping)
    return found


def with_attempts(connection: Connection, of: Iterable[Attempt]) -> dict[str, Job]:
    """Return the jobs of these attempts, ended ones too."""
    return by_ids(connection, {attempt.job_id for attempt in of})


def to_archive(connection: Connection) -> list[Job]:
    """Return ended jobs whose events are not in the bucket yet."""
    query = select(jobs).where(jobs.c.status.in_(ENDED), jobs.c.archived.is_(False)).order_by(jobs.c.ended_seq)
    return [Job(**row._mapping) for row in connection.execute(query.limit(50))]


_SUMMARY = [jobs.c[field.name] for field in fields(JobSummary)]


def page(
    connection: Connection, project: str, limit: int, labels: Mapping[str, str] | None = None, **equal: str | None
) -> list[JobSummary]:
    """Return jobs, newest first, without their large columns; `equal` narrows by status, name, kind. labels: all of
    these, each with this value."""
    query = select(*_SUMMARY).where(jobs.c.project == project)
    for label, text in (labels or {}).items():
        query = query.where(jobs.c.labels[label].as_string() == text)
    for column, value in equal.items():
        if value is not None:
            query = query.where(jobs.c[column].in_(value.split(",")))
    query = query.order_by(jobs.c.seq.desc()).limit(limit)
    return [JobSummary(**row._mapping) for row in connection.execute(query)]


def move(connection: Connection, job_id: str, transition: str, **changes: Any) -> bool:
    """Take the guarded step along the table of states; False when the job is not where the step begins."""
    touch(connection, job_id)
    step = TRANSITIONS[transition]
    statement = update(jobs).where(jobs.c.id == job_id, jobs.c.status.in_(step.sources))
    return connection.execute(statement.values(status=step.target, **changes)).rowcount == 1


def change(connection: Connection, job_id: str, **changes: Any) -> None:
    """Change what is no step: reason, what is desired, what is pinned."""
    touch(connection, job_id)
    connection.execute(update(jobs).where(jobs.c.id == job_id).values(**changes))


def accept(connection: Connection, job_id: str, digest: str) -> bool:
    """Accept a job's one manifest: the first digest, and only the first. The same again is fine, from any attempt."""
    touch(connection, job_id)
    free = (jobs.c.id == job_id) & (jobs.c.commit_sha256.is_(None) | (jobs.c.commit_sha256 == digest))
    return connection.execute(update(jobs).where(free).values(commit_sha256=digest)).rowcount == 1


def archived(connection: Connection, job: Job) -> None:
    """Note that a job's events up to this end are in the bucket. If somebody retried it meanwhile, more is to come."""
    touch(connection, job.id)
    here = (jobs.c.id == job.id) & jobs.c.status.in_(ENDED) & (jobs.c.ended_seq == job.ended_seq)
    connection.execute(update(jobs).where(here).values(archived=True))


def explain(connection: Connection, reasons: Sequence[tuple[str, str]]) -> None:
    """Record why these queued jobs wait, by id. It touches nobody: `OpenJobs`, which says so, knows it."""
    here = (jobs.c.id == bindparam("job")) & (jobs.c.status == Status.QUEUED)
    statement = update(jobs).where(here).values(reason=bindparam("why"))
    connection.execute(statement, [{"job": job_id, "why": reason} for job_id, reason in reasons])


def tally(connection: Connection) -> list[tuple[str, str, str, str, int]]:
    """Count the jobs by project, queue, kind and status."""
    keys = (jobs.c.project, jobs.c.queue, jobs.c.kind, jobs.c.status)
    return [tuple(row) for row in connection.execute(select(*keys, func.count()).group_by(*keys))]


def active(connection: Connection) -> list[Job]:
    """Return the jobs that have an attempt alive."""
    query = select(jobs).where(jobs.c.status.in_((Status.STARTING, Status.RUNNING, Status.STOPPING)))
    return [Job(**row._mapping) for row in connection.execute(query.order_by(jobs.c.seq))]


def needed_by(connection: Connection, job_id: str) -> list[Job]:
    """Return the unfinished jobs that need this one."""
    query = select(jobs).join(needs, needs.c.job_id == jobs.c.id)
    query = query.where(needs.c.upstream_id == job_id, jobs.c.ended.is_(None))
    return [Job(**row._mapping) for row in connection.execute(query)]


def remove(connection: Connection, job_id: str) -> None:
    """Remove the whole record; what is in the bucket stays."""
    touch(connection, job_id)
    source = connection.execute(select(jobs.c.source_digest).where(jobs.c.id == job_id)).scalar()
    connection.execute(delete(needs).where((needs.c.job_id == job_id) | (needs.c.upstream_id == job_id)))
    for table in (ticks, events, attempts):
        connection.execute(delete(table).where(table.c.job_id == job_id))
    connection.execute(delete(jobs).where(jobs.c.id == job_id))
    drop_unused(connection, source)
