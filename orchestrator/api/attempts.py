"""What a running job's driver calls: claim, heartbeat, ticks, events, commit, result."""

import json
import math
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from orchestrator import db, lifecycle, tokens
from orchestrator.crash_points import crash_point
from orchestrator.lifecycle import Ending
from orchestrator.policies import liveness, totals
from orchestrator.records import Attempt, Job
from orchestrator.server import auth
from orchestrator.server.state import Works
from orchestrator.states import AttemptStatus, Desired

router = APIRouter(prefix="/api/v1/attempts/{attempt_id}", tags=["attempts"])
Driver = Annotated[Attempt, Depends(auth.driver)]
TheWorks = Annotated[Works, Depends(auth.works)]

COMMANDS = {
    Desired.CANCEL: "cancel",
    Desired.SUSPEND: "checkpoint_and_stop",
    Desired.PREEMPT: "checkpoint_and_stop",
    Desired.FAIL: "checkpoint_and_stop",
}
WORKING = ("training", "generating")  # phases whose ticks count as progress only when numbers move


class Claim(BaseModel):
    claim: str
    nonce: str = Field(min_length=8, max_length=200)
    host: str | None = Field(default=None, max_length=200)
    pid: int | None = None


class Ticks(BaseModel):
    ticks: list[dict[str, Any]] = Field(max_length=1000)


class NewEvent(BaseModel):
    type: str = Field(max_length=40)
    message: str = Field(max_length=4000)
    data: dict[str, Any] | None = None


class Commit(BaseModel):
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Checkpoint(BaseModel):
    folder: str = Field(pattern=r"^\d{12}-a\d{1,9}(-r\d{1,9})?$")
    commit: str = Field(pattern=r"^([0-9a-f]{64})?$")  # the digest of its COMMIT; empty: from before it was recorded


class Lineage(BaseModel):
    checkpoints: list[Checkpoint] = Field(max_length=10_000)  # newest first


class Result(BaseModel):
    outcome: Literal["succeeded", "stopped", "cancelled", "failed"]
    failure: str | None = Field(default=None, max_length=40)
    message: str | None = None
    data: dict[str, Any] | None = None
    exit_code: int | None = None
    log: str = Field(default="", max_length=100_000)  # its end, for the rules of `retry`


@router.post("/claim")
def claim(attempt_id: str, body: Claim, works: TheWorks) -> dict[str, Any]:
    """Once only; the same nonce is the same claimant, whose first answer got lost."""
    now = works.clock()
    with works.database.write() as connection:
        attempt = db.attempts.by_id(connection, attempt_id)
        if attempt is None or not tokens.matches(body.claim, attempt.claim_hash):
            raise HTTPException(403, f"this code does not claim attempt {attempt_id}")
        job = _job(connection, attempt)
        if not _is_current(job, attempt):
            raise HTTPException(410, f"attempt {attempt_id} is over ({attempt.status})")
        token = tokens.derived(works.settings.token, "attempt", attempt_id, body.nonce)
        if attempt.nonce_hash is None:
            _take(connection, job, attempt, body, token, now)
        elif not tokens.matches(body.nonce, attempt.nonce_hash):
            raise HTTPException(409, f"attempt {attempt_id} has been claimed by another process")
    works.wake()
    return _claimed(works, job, attempt, token)


def _take(connection: Connection, job: Job, attempt: Attempt, body: Claim, token: str, now: float) -> None:
    taken = db.attempts.claim(
        connection,
        attempt.id,
        status=AttemptStatus.RUNNING,
        nonce_hash=tokens.digest(body.nonce),
        token_hash=tokens.digest(token),
        host=body.host,
        pid=body.pid,
        submitted=attempt.submitted or now,  # Ray has it, whatever the row says yet
        started=now,
        heartbeat=now,
        progressed=now,
    )
    assert taken, "the claim is checked and made in one transaction"
    lifecycle.claimed(connection, job, attempt, body.host, now)


def _claimed(works: Works, job: Job, attempt: Attempt, token: str) -> dict[str, Any]:
    settings = works.settings
    return {
        "attempt_id": attempt.id,
        "number": attempt.number,
        "token": token,
        "project": job.project,
        "job_id": job.id,
        "job_name": job.name,
        "kind": job.kind,
        "spec": job.spec,
        "references": job.pinned or {},
        "workers": attempt.workers,
        "cpus_per_worker": attempt.cpus_per_worker,
        "gpus_per_worker": attempt.gpus_per_worker,
        "store": {"uri": settings.store_uri, "env": dict(settings.store_env)},
        "secrets": {},
        "heartbeat_seconds": settings.heartbeat_seconds,
        "stalled_after": settings.stalled_after,
        "desired": job.desired,
        "accepted": job.commit_sha256,
        "lineage": job.lineage,
    }


@router.post("/heartbeat")
def heartbeat(driver: Driver, works: TheWorks) -> dict[str, str]:
    with works.database.write() as connection:
        job, attempt = _fresh(connection, driver)
        if _is_current(job, attempt):
            db.attempts.change(connection, attempt.id, heartbeat=works.clock())
    return {"command": command(job, attempt)}


@router.post("/ticks")
def ticks(body: Ticks, driver: Driver, works: TheWorks) -> dict[str, str]:
    """Progress, and a heartbeat too: rank 0 may call while the driver waits."""
    now = works.clock()
    with works.database.write() as connection:
        job, attempt = _fresh(connection, driver)
        if _is_current(job, attempt) and body.ticks:
            _keep(connection, works, job, attempt, body.ticks, now)
    return {"command": command(job, attempt)}


def _keep(
    connection: Connection, works: Works, job: Job, attempt: Attempt, ticks: list[dict[str, Any]], now: float
) -> None:
    timed = [(_time(tick, now), works.redactor.values(finite(tick))) for tick in ticks]
    there = db.ticks.already_there(connection, job.id, attempt.number, [time for time, _ in timed])
    known = [(tick.time, tick.data) for tick in there]
    if new := [each for each in timed if each not in known]:
        db.ticks.add(connection, job.id, attempt.number, new)
        db.ticks.thin_out(connection, job.id, works.settings.ticks_kept)
        db.jobs.change(connection, job.id, totals=totals.added(job.totals, [data for _, data in new]))
    here = position(ticks[-1])
    moved = {"progressed": now, "position": here} if here != attempt.position else {}
    db.attempts.change(connection, attempt.id, heartbeat=now, **moved)


def _time(tick: dict[str, Any], now: float) -> float:
    time = tick.get("time")
    return float(time) if isinstance(time, int | float) and math.isfinite(time) else now


def position(tick: dict[str, Any]) -> str:
    """What must change for a tick to be progress. While it prepares, calling is enough."""
    if tick.get("phase") not in WORKING:
        return json.dumps([tick.get("phase"), tick.get("time")])
    names = ("phase", "examples", "samples", "steps", "written_bytes", "shards", "progress")
    return json.dumps([tick.get(name) for name in names], sort_keys=True)


def finite(value: Any) -> Any:
    """NaN and infinity are no JSON: they become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [finite(inner) for inner in value]
    return value


@router.post("/events")
def events(body: NewEvent, driver: Driver, works: TheWorks) -> dict[str, str]:
    now = works.clock()
    with works.database.write() as connection:
        job, attempt = _fresh(connection, driver)
        if _is_current(job, attempt):
            message, data = works.redactor.text(body.message), works.redactor.values(finite(body.data))
            db.events.add(connection, job.id, body.type, message, now=now, attempt=attempt.number, data=data)
            db.attempts.change(connection, attempt.id, heartbeat=now, progressed=now)
    return {"command": command(job, attempt)}


@router.post("/commit")
def commit(body: Commit, driver: Driver, works: TheWorks) -> dict[str, str]:
    """Accept the manifest's digest for the job, under this attempt's token; only then may anything be published.

    One digest a job: a later attempt stands for the one that was accepted, and finishes what it names.
    """
    now = works.clock()
    with works.database.write() as connection:
        job, attempt = _fresh(connection, driver)
        if not _is_current(job, attempt):
            raise HTTPException(409, f"attempt {attempt.id} cannot commit: it is over")
        if not db.jobs.accept(connection, job.id, body.sha256):
            raise HTTPException(409, f"job {job.id} has committed another manifest: {job.commit_sha256}")
        if attempt.commit_sha256 is None:
            db.attempts.change(connection, attempt.id, commit_sha256=body.sha256)
            message = f"attempt {attempt.number} committed {body.sha256[:12]}"
            data = {"sha256": body.sha256}
            db.events.add(connection, job.id, "committed", message, now=now, attempt=attempt.number, data=data)
    return {"command": command(job, attempt)}


@router.post("/lineage")
def lineage(body: Lineage, driver: Driver, works: TheWorks) -> dict[str, str]:
    """What the next attempt resumes from, as the current one says; what is not in it any more may be deleted."""
    with works.database.write() as connection:
        job, attempt = _fresh(connection, driver)
        if not _is_current(job, attempt):
            raise HTTPException(409, f"attempt {attempt.id} is over: its checkpoints are not resumed from")
        db.jobs.change(connection, job.id, lineage=[checkpoint.model_dump() for checkpoint in body.checkpoints])
    return {"command": command(job, attempt)}


@router.post("/result")
def result(body: Result, driver: Driver, works: TheWorks) -> dict[str, str]:
    """How the attempt ended; the same again is fine."""
    crash_point("finish: before the result")
    failure, message = (body.failure or "user_code") if body.outcome == "failed" else None, (body.message or "")[:4000]
    if failure:
        failure, message = liveness.blamed(failure, message, driver.placement, works.supervisor.nodes)
    ending = Ending(
        status=AttemptStatus(body.outcome.upper()),
        failure=failure,
        message=works.redactor.text(message),
        data=works.redactor.values(finite(body.data)),
        exit_code=body.exit_code,
        log=body.log,
    )
    with works.database.write() as connection:
        job, attempt = _fresh(connection, driver)
        if ending.status == AttemptStatus.SUCCEEDED and attempt.is_live and attempt.commit_sha256 is None:
            raise HTTPException(409, f"attempt {attempt.id} cannot have succeeded: it has committed no manifest")
        if not lifecycle.finish(connection, job, attempt, ending, works.settings, works.clock()):
            _same_again(attempt, ending)
    crash_point("finish: after the result")
    works.wake()
    return {"command": "continue"}


def _same_again(attempt: Attempt, ending: Ending) -> None:
    if attempt.status != ending.status:
        raise HTTPException(409, f"attempt {attempt.id} is over: {attempt.status}")


def _job(connection: Connection, attempt: Attempt) -> Job:
    job = db.jobs.by_id(connection, attempt.job_id)
    assert job is not None, "attempts refer to jobs"
    return job


def _fresh(connection: Connection, attempt: Attempt) -> tuple[Job, Attempt]:
    """Both as they are inside this transaction."""
    fresh = db.attempts.by_id(connection, attempt.id)
    assert fresh is not None, "attempts are not deleted while a driver may call"
    return _job(connection, fresh), fresh


def _is_current(job: Job, attempt: Attempt) -> bool:
    return attempt.is_live and attempt.number == job.attempt


def command(job: Job, attempt: Attempt) -> str:
    if not _is_current(job, attempt):
        return "stale"
    return COMMANDS.get(Desired(job.desired), "continue")
