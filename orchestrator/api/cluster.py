"""The cluster: what it has, and what our attempts hold of it."""

from collections.abc import Sequence

from fastapi import APIRouter

from orchestrator import db, scheduler
from orchestrator.api.answers import ClusterAnswer, NodeAnswer
from orchestrator.api.jobs import Server, User
from orchestrator.policies import requests
from orchestrator.scheduler import Held, Node
from orchestrator.states import ENDED, Status

router = APIRouter(prefix="/api/v1/cluster", tags=["cluster"])


@router.get("")
def cluster(user: User, server: Server) -> ClusterAnswer:
    nodes = server.supervisor.nodes
    with server.database.read() as connection:
        held = db.attempts.unreleased(connection)
        unfinished = db.jobs.unfinished(connection)
        jobs = db.jobs.with_attempts(connection, held)
    cpus = sum(attempt.workers * attempt.cpus_per_worker for attempt in held)
    gpus = sum(attempt.workers * attempt.gpus_per_worker for attempt in held)
    return {
        "reachable": nodes is not None,
        "ray_address": server.settings.ray_address,
        "nodes": _nodes(nodes or (), [requests.held(each, jobs[each.job_id], (), 0, server.clock()) for each in held]),
        "cpus": {"total": sum(node.cpus for node in nodes or ()), "held": cpus},
        "gpus": {"total": sum(node.gpus for node in nodes or ()), "held": gpus},
        "jobs": {status: sum(job.status == status for job in unfinished) for status in Status if status not in ENDED},
    }


def _nodes(nodes: Sequence[Node], held: Sequence[Held]) -> list[NodeAnswer]:
    free = {node.id: node for node in scheduler.unheld(nodes, held)}
    return [
        {
            "id": node.id,
            "labels": dict(node.labels),
            "cpus": node.cpus,
            "free_cpus": free[node.id].cpus,
            "gpus": node.gpus,
            "free_gpus": free[node.id].gpus,
        }
        for node in nodes
    ]
