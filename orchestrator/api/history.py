"""A job's events and ticks, each after a number that the reader has."""

from typing import Annotated

from fastapi import APIRouter, Query

from orchestrator import db
from orchestrator.api import views
from orchestrator.api.answers import EventsAnswer, TicksAnswer
from orchestrator.api.jobs import Server, User, find

router = APIRouter(prefix="/api/v1/jobs/{job}", tags=["history"])
After = Annotated[int, Query(ge=0, le=2**63 - 1)]
Limit = Annotated[int, Query(ge=1, le=5000)]


@router.get("/events")
def events(job: str, user: User, server: Server, after: After = 0, limit: Limit = 1000) -> EventsAnswer:
    with server.database.read() as connection:
        found = find(connection, user, job)
        rows = db.events.after(connection, found.id, after, limit)
    return {"job_id": found.id, "events": [views.event(row) for row in rows]}


@router.get("/ticks")
def ticks(job: str, user: User, server: Server, after: After = 0, limit: Limit = 1000) -> TicksAnswer:
    with server.database.read() as connection:
        found = find(connection, user, job)
        rows = db.ticks.after(connection, found.id, after, limit)
    return {"job_id": found.id, "ticks": [views.shown_tick(row) for row in rows]}
