"""The cluster: what it has, and what our attempts hold of it."""

from typing import Any

from fastapi import APIRouter

from orchestrator import db
from orchestrator.api.jobs import TheWorks, User
from orchestrator.states import Status

router = APIRouter(prefix="/api/v1/cluster", tags=["cluster"])


@router.get("")
def cluster(user: User, works: TheWorks) -> dict[str, Any]:
    nodes = works.supervisor.nodes
    with works.database.read() as connection:
        held = db.attempts.unreleased(connection)
        unfinished = db.jobs.unfinished(connection)
    cpus = sum(attempt.workers * attempt.cpus_per_worker for attempt in held)
    gpus = sum(attempt.workers * attempt.gpus_per_worker for attempt in held)
    return {
        "reachable": nodes is not None,
        "ray_address": works.settings.ray_address,
        "nodes": [{"id": node.id, "cpus": node.cpus, "gpus": node.gpus} for node in nodes or ()],
        "cpus": {"total": sum(node.cpus for node in nodes or ()), "held": cpus},
        "gpus": {"total": sum(node.gpus for node in nodes or ()), "held": gpus},
        "jobs": {status: sum(job.status == status for job in unfinished) for status in Status if status not in _ENDED},
    }


_ENDED = (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)
