"""The log of an attempt's driver: Ray's while it has it, the bucket's copy afterwards; of any size, by ranges."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query

from jobs.store import NotFound
from orchestrator import db
from orchestrator.api.answers import LogAnswer
from orchestrator.api.jobs import Server, User, find
from orchestrator.observability import long_logs
from orchestrator.observability.long_logs import Shown
from orchestrator.records import Attempt, Job
from orchestrator.server.state import ServerState

router = APIRouter(prefix="/api/v1/jobs/{job}", tags=["logs"])
GONE = "(Ray's head was gone before this log could be kept)\n"


@router.get("/logs")
def logs(
    job: str,
    user: User,
    server: Server,
    attempt: int | None = None,
    offset: Annotated[int, Query(ge=0, le=2**63 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=1 << 22)] = 1 << 18,
) -> LogAnswer:
    """Return bytes [offset, offset + limit); `complete` once there is nothing more to come after them.

    Of a very long log its beginning and its end, with a line that says which bytes are left out; 503 while the store or
    Ray does not answer.
    """
    with server.database.read() as connection:
        found = find(connection, user, job)
        number = found.attempt if attempt is None else attempt
        row = db.attempts.by_id(connection, f"{found.id}-{number}")
    if row is None and attempt is not None:
        raise HTTPException(404, f"job {found.name} has no attempt {attempt}; it has had {found.attempt}")
    part = server.far(partial(_part, server, found, row, offset, limit)) if row else None
    part = part or Shown(text="", offset=offset, size=0)
    over = row.archived if row else found.has_ended
    complete = over and part.offset >= part.size
    return {"job_id": found.id, "attempt": number, "text": part.text, "offset": part.offset, "complete": complete}


def _part(server: ServerState, job: Job, attempt: Attempt, offset: int, limit: int) -> Shown | None:
    if not attempt.archived:
        read = partial(server.cluster.read_log, attempt.id)
        return long_logs.shown(read, offset, limit, server.redactor, is_growing=True)
    kept = long_logs.archived(server.reader_store, job.layout.log(attempt.number))
    try:
        return long_logs.shown(kept, offset, limit, server.redactor, is_growing=False)
    except NotFound:
        return Shown(text=GONE[offset:], offset=max(offset, len(GONE)), size=len(GONE))
