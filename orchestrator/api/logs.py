"""The log of an attempt's driver: Ray's while it has it, the bucket's copy afterwards."""

import gzip
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query

from jobs.store import NotFound
from orchestrator import db
from orchestrator.api.answers import LogAnswer
from orchestrator.api.jobs import Server, User, find
from orchestrator.cluster import Refused, Unreachable
from orchestrator.records import Attempt, Job
from orchestrator.server.state import ServerState

router = APIRouter(prefix="/api/v1/jobs/{job}", tags=["logs"])


@router.get("/logs")
def logs(
    job: str,
    user: User,
    server: Server,
    attempt: int | None = None,
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=1 << 22)] = 1 << 18,
) -> LogAnswer:
    """Return characters [offset, offset + limit); `complete` once there is nothing more to come after them."""
    with server.database.read() as connection:
        found = find(connection, user, job)
        number = found.attempt if attempt is None else attempt
        row = db.attempts.by_id(connection, f"{found.id}-{number}")
    if row is None and attempt is not None:
        raise HTTPException(404, f"job {found.name} has no attempt {attempt}; it has had {found.attempt}")
    text = server.redactor.text(_text(server, found, row)) if row else ""
    part = text[offset : offset + limit]
    over = row.archived if row else found.has_ended
    complete = over and offset + len(part) >= len(text)
    return {"job_id": found.id, "attempt": number, "text": part, "offset": offset + len(part), "complete": complete}


def _text(server: ServerState, job: Job, attempt: Attempt) -> str:
    if not attempt.archived:
        try:
            return server.cluster.logs(attempt.id) or ""
        except (Unreachable, Refused):
            return ""
    try:
        return gzip.decompress(server.store.get(job.layout.log(attempt.number))).decode()
    except NotFound:
        return "(Ray's head was gone before this log could be kept)\n"
