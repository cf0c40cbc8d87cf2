"""Jobs: submit, list, look at, cancel, suspend, resume, retry, delete."""

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query, Response
from pydantic import BaseModel, Field
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from jobs.specs.spec import Plain
from orchestrator import db, lifecycle
from orchestrator.admission import submission
from orchestrator.admission.admit import Admission, Asker, admit
from orchestrator.api import views
from orchestrator.api.answers import (
    DryRunAnswer,
    JobAnswer,
    JobsAnswer,
    PlannedJobAnswer,
    SubmissionAnswer,
    WholeJobAnswer,
)
from orchestrator.records import Job, Token
from orchestrator.server import auth
from orchestrator.server.state import ServerState
from orchestrator.states import Desired, Status

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])
User = Annotated[Token, Depends(auth.user)]
Server = Annotated[ServerState, Depends(auth.server)]


class Submission(BaseModel):
    documents: list[Plain] = Field(max_length=1000)
    key: str | None = Field(default=None, min_length=1, max_length=200)
    dry_run: bool = False
    source: str | None = Field(default=None, max_length=1 << 20)
    once: bool = Field(default=False, description="what is scheduled runs one time, now")


def find(connection: Connection, user: Token, id_or_name: str) -> Job:
    """A job by id, or the newest of that name. 404 if the user's project has none."""
    job = db.jobs.find(connection, user.project, id_or_name)
    if job is None:
        raise HTTPException(404, f"there is no job {id_or_name!r} in project {user.project}")
    return job


@router.post("", status_code=201)
def submit(body: Submission, user: User, server: Server, response: Response) -> SubmissionAnswer | DryRunAnswer:
    """All documents in one transaction. 201: something new; 200: all of it was there; 409: a name is taken."""
    if body.dry_run:
        return _dry_run(body, user, server, response)
    try:
        ids, schedules, is_new = _enter(body, user, server)
    except IntegrityError:
        # Another submit of the same name was faster: now its job is there to be found.
        ids, schedules, is_new = _enter(body, user, server)
    if not is_new:
        response.status_code = 200
    server.wake()
    with server.database.read() as connection:
        found = [db.schedules.by_name(connection, user.project, name) for name in schedules]
        return {
            "jobs": [views.job(server, find(connection, user, job_id)) for job_id in ids],
            "schedules": [views.schedule(schedule) for schedule in found if schedule],
        }


def _enter(body: Submission, user: Token, server: ServerState) -> tuple[list[str], list[str], bool]:
    now, digest = server.clock(), submission.digest(body.documents)
    with server.database.write() as connection:
        if body.key and (before := submission.earlier(connection, user.project, body.key, digest)):
            return *before, False
        admission = _admit(connection, body, user, server, now)
        is_new = submission.enter_all(connection, admission, now)
        ids = [each.job.id for each in admission.jobs]
        names = [schedule.name for schedule in admission.schedules]
        if body.key:
            answer = {"jobs": ids, "schedules": names}
            db.answers.keep(connection, user.project, body.key, digest, answer, now)
    return ids, names, is_new


def _admit(connection: Connection, body: Submission, user: Token, server: ServerState, now: float) -> Admission:
    asker = Asker(project=user.project, owner=user.owner)
    nodes = server.supervisor.nodes
    return admit(connection, body.documents, asker, server.settings, nodes, now, body.source, body.once)


def _dry_run(body: Submission, user: Token, server: ServerState, response: Response) -> DryRunAnswer:
    response.status_code = 200
    with server.database.read() as connection:
        admission = _admit(connection, body, user, server, server.clock())
    jobs: list[PlannedJobAnswer] = [
        {**views.job(server, each.job), "spec": each.job.spec, "is_new": each.is_new} for each in admission.jobs
    ]
    return {"dry_run": True, "jobs": jobs, "schedules": [views.schedule(each) for each in admission.schedules]}


@router.get("")
def list_jobs(
    user: User,
    server: Server,
    status: str | None = None,
    name: str | None = None,
    kind: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> JobsAnswer:
    """Newest first; `status`, `name` and `kind` take several values with commas."""
    with server.database.read() as connection:
        found = db.jobs.page(connection, user.project, limit, status=status and status.upper(), name=name, kind=kind)
        ticks = db.ticks.newest_of_unfinished(connection)
    return {"jobs": [views.job(server, job, ticks.get(job.id)) for job in found]}


@router.get("/{job}")
def get_job(job: str, user: User, server: Server) -> WholeJobAnswer:
    with server.database.read() as connection:
        found = find(connection, user, job)
        return views.whole_job(
            server,
            found,
            db.ticks.newest(connection, found.id),
            db.attempts.of_job(connection, found.id),
            db.needs.of_job(connection, found.id),
        )


@router.post("/{job}/cancel")
def cancel(job: str, user: User, server: Server) -> JobAnswer:
    """Its driver takes a last checkpoint; a job that does not run ends at once. Fine if it has ended."""
    return _want(job, user, server, Desired.CANCEL, f"cancelled by {user.owner}")


@router.post("/{job}/suspend")
def suspend(job: str, user: User, server: Server) -> JobAnswer:
    """A checkpoint, then rest until `resume`."""
    return _want(job, user, server, Desired.SUSPEND, f"suspended by {user.owner}")


def _want(job: str, user: Token, server: ServerState, desired: Desired, reason: str) -> JobAnswer:
    with server.database.write() as connection:
        found = find(connection, user, job)
        for each in _with_its_jobs(connection, found):
            lifecycle.want(connection, each, desired, reason, None, server.clock())
        found = find(connection, user, found.id)
    server.wake()
    return views.job(server, found)


def _with_its_jobs(connection: Connection, job: Job) -> list[Job]:
    """A sweep's jobs, then the sweep; of any other the job alone."""
    needs = db.needs.of_job(connection, job.id) if job.is_sweep else []
    return [child for need in needs if (child := db.jobs.by_id(connection, need.upstream_id))] + [job]


@router.post("/{job}/resume")
def resume(job: str, user: User, server: Server) -> JobAnswer:
    with server.database.write() as connection:
        found = find(connection, user, job)
        if found.status == Status.SUSPENDED:
            for each in _with_its_jobs(connection, found):
                lifecycle.resume(connection, each, server.clock())
        elif found.has_ended or found.desired != Desired.RUN:
            raise HTTPException(409, f"job {found.name} is {found.status}; only a suspended job can be resumed")
        found = find(connection, user, found.id)
    server.wake()
    return views.job(server, found)


@router.post("/{job}/retry")
def retry(job: str, user: User, server: Server) -> JobAnswer:
    """A job that failed or was cancelled goes on from its newest checkpoint, with all its budgets anew."""
    with server.database.write() as connection:
        found = find(connection, user, job)
        if found.status not in (Status.FAILED, Status.CANCELLED):
            raise HTTPException(409, f"job {found.name} is {found.status}; only one that failed or was cancelled")
        other = db.jobs.unfinished_of_name(connection, user.project, found.name)
        if other is not None and found.schedule is None:
            raise HTTPException(409, f"job {found.name} has a newer one, {other.id}, that is {other.status}")
        lifecycle.retry_job(connection, found, user.owner, server.clock())
        found = find(connection, user, found.id)
    server.wake()
    return views.job(server, found)


@router.delete("/{job}")
def delete(job: str, user: User, server: Server) -> JobAnswer:
    """The record of a job that has ended. Its data, its events and its logs stay in the bucket."""
    with server.database.write() as connection:
        found = find(connection, user, job)
        if not found.has_ended:
            raise HTTPException(409, f"job {found.name} is {found.status}; cancel it first")
        attempts = db.attempts.of_job(connection, found.id)
        if not found.archived or any(attempt.released is None for attempt in attempts):
            raise HTTPException(409, f"the events of job {found.name} are not in the bucket yet; try again in a moment")
        if needed := db.jobs.needed_by(connection, found.id):
            raise HTTPException(409, f"job {needed[0].name} needs {found.name} and has not ended")
        db.jobs.remove(connection, found.id)
    return views.job(server, found)
