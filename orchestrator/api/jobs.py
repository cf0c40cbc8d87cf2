"""Jobs: submit, list, look at, cancel, suspend, resume, retry, delete."""

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Header, HTTPException, Query, Response
from pydantic import BaseModel, Field
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from jobs import kinds
from jobs.specs.errors import did_you_mean
from jobs.specs.spec import Plain
from orchestrator import db, lifecycle
from orchestrator.admission import admit, submission, understand
from orchestrator.admission.admit import Admission
from orchestrator.admission.new_job import Asker
from orchestrator.admission.once import once
from orchestrator.admission.understand import Understood
from orchestrator.api import views
from orchestrator.api.answers import (
    DryRunAnswer,
    JobAnswer,
    JobsAnswer,
    PlannedJobAnswer,
    SubmissionAnswer,
    WholeJobAnswer,
)
from orchestrator.api.strict_json import StrictRoute
from orchestrator.records import Job, Token
from orchestrator.server import auth
from orchestrator.server.state import ServerState
from orchestrator.states import Desired, Status

router = APIRouter(route_class=StrictRoute, prefix="/api/v1/jobs", tags=["jobs"])
AGAIN = (Status.FAILED, Status.CANCELLED)
Key = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=200)]
User = Annotated[Token, Depends(auth.user)]
Server = Annotated[ServerState, Depends(auth.server)]


class Submission(BaseModel):
    documents: list[Plain] = Field(max_length=1000)
    key: str | None = Field(default=None, min_length=1, max_length=200)
    dry_run: bool = False
    source: str | None = Field(default=None, max_length=1 << 20)
    once: bool = Field(default=False, description="what is scheduled runs one time, now")


def find(connection: Connection, user: Token, id_or_name: str) -> Job:
    """Return a job by id, the newest of that name, or the one whose id begins so. 404 if the user's project has none."""
    job = db.jobs.find(connection, user.project, id_or_name)
    ids = db.jobs.ids_from(connection, user.project, id_or_name) if job is None and is_day(id_or_name) else []
    if len(ids) > 1:
        raise HTTPException(404, f"{id_or_name!r} is the beginning of several ids: {', '.join(ids)}; say more of one")
    job = db.jobs.by_id(connection, ids[0]) if ids else job
    if job is None:
        raise HTTPException(404, f"there is no job {id_or_name!r} in project {user.project}")
    return job


def is_day(text: str) -> bool:
    """Decide whether a text may be the beginning of an id: the day, at least."""
    return re.match(r"\d{8}(t|$)", text) is not None


@router.post("", status_code=201)
def submit(body: Submission, user: User, server: Server, response: Response) -> SubmissionAnswer | DryRunAnswer:
    """Submit all documents in one transaction. 201: something new; 200: all of it was there; 409: a name is taken."""
    if (before := _repeated(body, user, server)) is not None:
        response.status_code = 200
        return before
    understood = understand.understand(body.documents, server.settings, server.supervisor.nodes)
    if body.dry_run:
        return _dry_run(body, understood, user, server, response)
    try:
        ids, schedules, is_new = _enter(body, understood, user, server)
    except IntegrityError:
        # Another submit of the same name was faster: now its job is there to be found.
        ids, schedules, is_new = _enter(body, understood, user, server)
    if not is_new:
        response.status_code = 200
    server.wake()
    with server.database.read() as connection:
        return _shown(connection, user, server, ids, schedules)


def _repeated(body: Submission, user: Token, server: ServerState) -> SubmissionAnswer | None:
    """Return the answer that this key has had, whatever would be said of the documents now."""
    if body.key is None or body.dry_run:
        return None
    with server.database.read() as connection:
        before = submission.earlier(connection, user.project, body.key, submission.digest(body.documents))
        return _shown(connection, user, server, *before) if before else None


def _shown(
    connection: Connection, user: Token, server: ServerState, ids: list[str], schedules: list[str]
) -> SubmissionAnswer:
    found = [db.schedules.by_name(connection, user.project, name) for name in schedules]
    return {
        "jobs": [views.job(server, find(connection, user, job_id)) for job_id in ids],
        "schedules": [views.schedule(schedule) for schedule in found if schedule],
    }


def _enter(
    body: Submission, understood: Understood, user: Token, server: ServerState
) -> tuple[list[str], list[str], bool]:
    now, digest = server.clock(), submission.digest(body.documents)
    with server.database.write() as connection:
        if body.key and (before := submission.earlier(connection, user.project, body.key, digest)):
            return *before, False
        source = None if body.source is None else db.sources.keep(connection, body.source)
        admission = _admit(connection, body, understood, user, server, source)
        is_new = submission.enter_all(connection, admission, now)
        db.sources.drop_unused(connection, source)
        ids = [each.job.id for each in admission.jobs]
        names = [schedule.name for schedule in admission.schedules]
        if body.key:
            answer = {"jobs": ids, "schedules": names}
            db.answers.keep(connection, user.project, body.key, digest, answer, now)
    return ids, names, is_new


def _admit(
    connection: Connection,
    body: Submission,
    understood: Understood,
    user: Token,
    server: ServerState,
    source: str | None,
) -> Admission:
    asker = Asker(project=user.project, owner=user.owner)
    return admit.admit(connection, understood, asker, server.clock(), server.wall(), source, body.once)


def _dry_run(
    body: Submission, understood: Understood, user: Token, server: ServerState, response: Response
) -> DryRunAnswer:
    response.status_code = 200
    with server.database.read() as connection:
        admission = _admit(connection, body, understood, user, server, None)
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
    label: Annotated[list[str] | None, Query(max_length=20)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> JobsAnswer:
    """List jobs, newest first; `status`, `name` and `kind` take several values with commas, `label` is NAME=VALUE."""
    status = status and status.upper()
    _refuse_unknown("status", status, Status)
    _refuse_unknown("kind", kind, kinds.KINDS)
    with server.database.read() as connection:
        wanted = {"status": status, "name": name, "kind": kind}
        found = db.jobs.page(connection, user.project, limit, _pairs(label or []), **wanted)
        ticks = db.ticks.newest_of(connection, [job.id for job in found if not job.has_ended])
    return {"jobs": [views.job(server, job, ticks.get(job.id)) for job in found]}


def _refuse_unknown(field: str, value: str | None, choices: Iterable[str]) -> None:
    known = set(map(str, choices))
    for each in value.split(",") if value else ():
        if each not in known:
            raise HTTPException(400, f"{field}: unknown {each!r}{did_you_mean(each, known)}")


def _pairs(labels: list[str]) -> dict[str, str]:
    if wrong := [text for text in labels if not re.match(r"[A-Za-z0-9][\w./-]*=", text, re.ASCII)]:
        raise HTTPException(400, f"label: {wrong[0]!r}; NAME=VALUE is expected")
    return dict(text.split("=", 1) for text in labels)


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
def cancel(job: str, user: User, server: Server, key: Key = None) -> JobAnswer:
    """Cancel a job: its driver takes a last checkpoint; one that does not run ends at once. Fine if it has ended."""
    return _done_once(job, "cancel", user, server, key, partial(_want, Desired.CANCEL, f"cancelled by {user.owner}"))


@router.post("/{job}/suspend")
def suspend(job: str, user: User, server: Server, key: Key = None) -> JobAnswer:
    """Suspend a job: a checkpoint, then rest until `resume`."""
    return _done_once(job, "suspend", user, server, key, partial(_want, Desired.SUSPEND, f"suspended by {user.owner}"))


Act = Callable[[Connection, Job, float], None]


def _done_once(job: str, verb: str, user: Token, server: ServerState, key: str | None, act: Act) -> JobAnswer:
    """Do it to the job that this id or name means now; with a key that came before, show the job that it meant then."""
    now = server.clock()
    with server.database.write() as connection:

        def acted() -> list[str]:
            found = find(connection, user, job)
            act(connection, found, now)
            return [found.id]

        (job_id,) = once(connection, user.project, key, f"{verb} {job}", now, acted)
        found = find(connection, user, job_id)
    server.wake()
    return views.job(server, found)


def _want(desired: Desired, reason: str, connection: Connection, found: Job, now: float) -> None:
    for each in _with_its_jobs(connection, found):
        lifecycle.want(connection, each, desired, reason, None, now)


def _with_its_jobs(connection: Connection, job: Job) -> list[Job]:
    """Return a sweep's jobs, then the sweep; for any other job, that job alone."""
    needs = db.needs.of_job(connection, job.id) if job.is_sweep else []
    return [child for need in needs if (child := db.jobs.by_id(connection, need.upstream_id))] + [job]


@router.post("/{job}/resume")
def resume(job: str, user: User, server: Server, key: Key = None) -> JobAnswer:
    return _done_once(job, "resume", user, server, key, _resume)


def _resume(connection: Connection, found: Job, now: float) -> None:
    if found.status == Status.SUSPENDED:
        for each in _with_its_jobs(connection, found):
            lifecycle.resume(connection, each, now)
    elif found.has_ended or found.desired != Desired.RUN:
        raise HTTPException(409, f"job {found.name} is {found.status}; only a suspended job can be resumed")


@router.post("/{job}/retry")
def retry(job: str, user: User, server: Server, key: Key = None) -> JobAnswer:
    """Let a job that failed or was cancelled go on from its newest checkpoint, with all its budgets anew; of a sweep
    those of its jobs that did not succeed."""
    return _done_once(job, "retry", user, server, key, partial(_retry, user))


def _retry(user: Token, connection: Connection, found: Job, now: float) -> None:
    if found.status not in AGAIN:
        raise HTTPException(409, f"job {found.name} is {found.status}; only one that failed or was cancelled")
    for each in _with_its_jobs(connection, found):
        if each.status not in AGAIN:
            continue
        other = db.jobs.unfinished_of_name(connection, user.project, each.name)
        if other is not None and each.schedule is None:
            raise HTTPException(409, f"job {each.name} has a newer one, {other.id}, that is {other.status}")
        if not each.is_sweep:
            db.needs.put(connection, each.id, admit.needed_now(connection, each))
        lifecycle.retry_job(connection, each, user.owner, now)


@router.delete("/{job}")
def delete(job: str, user: User, server: Server) -> JobAnswer:
    """Delete the record of a job that has ended. Its data, its events and its logs stay in the bucket."""
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
