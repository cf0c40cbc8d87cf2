"""What a running job's driver calls: claim, heartbeat, ticks, events, commit, result. Every message is one of jobs.wire."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, HTTPException
from pydantic import JsonValue, ValidationError
from sqlalchemy import Connection

from jobs import kinds, wire
from jobs.digest import of_json
from jobs.kinds import Kind
from jobs.wire import Command, Reply
from orchestrator import db, lifecycle, tokens
from orchestrator.admission.once import once
from orchestrator.api.jobs import Key
from orchestrator.api.strict_json import DriverRoute
from orchestrator.crash_points import crash_point
from orchestrator.lifecycle import Ending
from orchestrator.policies import counter_sums, liveness, retry
from orchestrator.records import Attempt, Job, Json
from orchestrator.server import auth
from orchestrator.server.state import ServerState
from orchestrator.states import AttemptStatus, Desired

PREFIX = "/api/v1/attempts"
router = APIRouter(
    route_class=DriverRoute,
    prefix=f"{PREFIX}/{{attempt_id}}",
    tags=["attempts"],
    dependencies=[Depends(auth.wire_version)],
)
Driver = Annotated[Attempt, Depends(auth.driver)]
Server = Annotated[ServerState, Depends(auth.server)]

T = TypeVar("T")
COMMANDS = {
    Desired.CANCEL: Command.CANCEL,
    Desired.SUSPEND: Command.CHECKPOINT_AND_STOP,
    Desired.PREEMPT: Command.CHECKPOINT_AND_STOP,
    Desired.FAIL: Command.CHECKPOINT_AND_STOP,
}


@router.post("/claim")
def claim(attempt_id: str, body: wire.ClaimRequest, server: Server) -> wire.Claim:
    """Give the attempt to its driver, once only; the same nonce is the same claimant, whose first answer got lost."""
    now = server.clock()
    with server.database.write() as connection:
        attempt = db.attempts.by_id(connection, attempt_id)
        if attempt is None or not tokens.matches(body.claim, attempt.claim_hash):
            raise HTTPException(403, f"this code does not claim attempt {attempt_id}")
        job = _job(connection, attempt)
        if not _is_current(job, attempt):
            raise HTTPException(410, f"attempt {attempt_id} is over ({attempt.status})")
        token = tokens.derived(server.settings.token, "attempt", attempt_id, body.nonce)
        if attempt.nonce_hash is None:
            _take(connection, job, attempt, body, token, now)
        elif not tokens.matches(body.nonce, attempt.nonce_hash):
            raise HTTPException(409, f"attempt {attempt_id} has been claimed by another process")
    server.wake()
    return _claimed(server, job, attempt, token)


def _take(connection: Connection, job: Job, attempt: Attempt, body: wire.ClaimRequest, token: str, now: float) -> None:
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


def _claimed(server: ServerState, job: Job, attempt: Attempt, token: str) -> wire.Claim:
    settings = server.settings
    return wire.Claim(
        attempt_id=attempt.id,
        number=attempt.number,
        token=token,
        project=job.project,
        job_id=job.id,
        job_name=job.name,
        kind=job.kind,
        spec=job.parsed,
        references=job.pinned or {},
        workers=attempt.workers,
        cpus_per_worker=attempt.cpus_per_worker,
        gpus_per_worker=attempt.gpus_per_worker,
        store=wire.StoreAccess(uri=settings.store_uri, env=dict(settings.store_env)),
        heartbeat_seconds=settings.heartbeat_seconds,
        url=settings.advertised,
        accepted=job.commit_sha256,
        lineage=job.recorded,
    )


@router.post("/heartbeat")
def heartbeat(driver: Driver, server: Server) -> Reply:
    with server.database.write() as connection:
        job, attempt = _fresh(connection, driver)
        if _is_current(job, attempt):
            db.attempts.change(connection, attempt.id, heartbeat=server.clock())
    return Reply(command=command(job, attempt))


@router.post("/ticks")
def ticks(body: wire.Ticks, driver: Driver, server: Server) -> Reply:
    """Take progress, which is a heartbeat too: rank 0 may call while the driver waits."""
    now = server.clock()
    with server.database.write() as connection:
        job, attempt = _fresh(connection, driver)
        if _is_current(job, attempt) and body.ticks:
            _keep(connection, server, job, attempt, body.ticks, now)
    return Reply(command=command(job, attempt))


def _keep(
    connection: Connection,
    server: ServerState,
    job: Job,
    attempt: Attempt,
    posted: tuple[dict[str, JsonValue], ...],
    now: float,
) -> None:
    kind = kinds.of(job.parsed)
    ticks = [_understood(kind.read_tick, tick) for tick in posted]
    timed = [(tick.time, server.redactor.values(tick.model_dump(mode="json", exclude={"time"}))) for tick in ticks]
    there = db.ticks.already_there(connection, job.id, attempt.number, [time for time, _ in timed])
    known = [(tick.time, tick.data) for tick in there]
    if new := [each for each in timed if each not in known]:
        db.ticks.add(connection, job.id, attempt.number, new)
        db.ticks.thin_out(connection, job.id, server.settings.ticks_kept)
        sums = counter_sums.added(job.totals, [data for _, data in new], kind.sums)
        db.jobs.change(connection, job.id, totals=sums)
    here = position(kind, ticks[-1])
    moved = {"progressed": now, "position": here} if here != attempt.position else {}
    db.attempts.change(connection, attempt.id, heartbeat=now, **moved)


def _understood(read: Callable[[Any], T], body: Any) -> T:
    """Read a part that each kind of job has its own of."""
    try:
        return read(body)
    except ValidationError as error:
        raise wire.Mismatch("; ".join(wire.problems_of(error.errors()))) from None


def position(kind: Kind, tick: wire.Tick) -> str:
    """Return what must change for a tick to be progress. While a job prepares, calling is enough."""
    names = kind.moves if tick.phase in kind.working else ("time",)
    fields = tick.model_dump(mode="json", include=set(names))
    return json.dumps([tick.phase, fields], sort_keys=True)


@router.post("/events")
def events(body: wire.Event, driver: Driver, server: Server, key: Key = None) -> Reply:
    """Take what people should know of; with a key, the same again is noted once."""
    now = server.clock()
    with server.database.write() as connection:
        job, attempt = _fresh(connection, driver)

        def note() -> list[str]:
            message, data = server.redactor.text(body.message), server.redactor.values(body.data)
            db.events.add(connection, job.id, body.type, message, now=now, attempt=attempt.number, data=data)
            db.attempts.change(connection, attempt.id, heartbeat=now, progressed=now)
            return [job.id]

        if _is_current(job, attempt):
            mine = of_json([attempt.id, key]) if key else None
            once(connection, job.project, mine, f"event {body.type} {body.message}", now, note)
    return Reply(command=command(job, attempt))


@router.post("/commit")
def commit(body: wire.Commit, driver: Driver, server: Server) -> Reply:
    """Accept the manifest's digest for the job, under this attempt's token; only then may anything be published.

    One digest a job: a later attempt stands for the one that was accepted, and finishes what it names.
    """
    now = server.clock()
    with server.database.write() as connection:
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
    return Reply(command=command(job, attempt))


@router.post("/lineage")
def lineage(body: wire.Lineage, driver: Driver, server: Server) -> Reply:
    """Record what the next attempt resumes from, as the current one says; what is not in it may be deleted."""
    with server.database.write() as connection:
        job, attempt = _fresh(connection, driver)
        if not _is_current(job, attempt):
            raise HTTPException(409, f"attempt {attempt.id} is over: its checkpoints are not resumed from")
        plain = [checkpoint.model_dump() for checkpoint in body.checkpoints]
        db.jobs.change(connection, job.id, lineage=plain)
    return Reply(command=command(job, attempt))


@router.post("/result")
def result(body: wire.Result, driver: Driver, server: Server) -> Reply:
    """Take how the attempt ended; the same again is fine."""
    crash_point("finish: before the result")
    failure, message = (body.failure or "user_code") if body.outcome == "failed" else None, body.message[:4000]
    if failure:
        failure, message = liveness.attribute_failure(failure, message, driver.placement, server.supervisor.nodes)
    message = server.redactor.text(message)
    with server.database.read() as connection:
        rules = _job(connection, driver).parsed.retry.rules
    ending = Ending(
        status=AttemptStatus(body.outcome.upper()),
        failure=failure,
        message=message,
        exit_code=body.exit_code,
        found=retry.found_in(rules, message, body.log) if failure else frozenset(),
    )
    with server.database.write() as connection:
        job, attempt = _fresh(connection, driver)
        if ending.status == AttemptStatus.SUCCEEDED and attempt.commit_sha256 != job.commit_sha256:
            said = f"cannot have succeeded: it does not stand for the manifest that was accepted ({job.commit_sha256})"
            raise HTTPException(409, f"attempt {attempt.id} {said}")
        ending = replace(ending, data=_summary(server, job, body))
        if not lifecycle.finish(connection, job, attempt, ending, server.settings, server.clock()):
            _same_again(attempt, ending)
    crash_point("finish: after the result")
    server.wake()
    return Reply()


def _summary(server: ServerState, job: Job, body: wire.Result) -> Json:
    """Return what the result says of its job, held to what the job's kind may say."""
    summary = _understood(kinds.of(job.parsed).summary.model_validate, body.data)
    return server.redactor.values(summary.plain())


def _same_again(attempt: Attempt, ending: Ending) -> None:
    if attempt.status != ending.status:
        raise HTTPException(409, f"attempt {attempt.id} is over: {attempt.status}")


def _job(connection: Connection, attempt: Attempt) -> Job:
    job = db.jobs.by_id(connection, attempt.job_id)
    assert job is not None, "attempts refer to jobs"
    return job


def _fresh(connection: Connection, attempt: Attempt) -> tuple[Job, Attempt]:
    """Return both as they are inside this transaction."""
    fresh = db.attempts.by_id(connection, attempt.id)
    assert fresh is not None, "attempts are not deleted while a driver may call"
    return _job(connection, fresh), fresh


def _is_current(job: Job, attempt: Attempt) -> bool:
    return attempt.is_live and attempt.number == job.attempt


def command(job: Job, attempt: Attempt) -> Command:
    if not _is_current(job, attempt):
        return Command.STALE
    return COMMANDS.get(Desired(job.desired), Command.CONTINUE)
