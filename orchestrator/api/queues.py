"""Queues and what they hold; who waits, and why; who used how much."""

from typing import Annotated, cast

from fastapi import APIRouter, Query

from orchestrator import db
from orchestrator.api import views
from orchestrator.api.answers import QueueAnswer, QueuesAnswer, UsageAnswer, UsageRow
from orchestrator.api.jobs import Server, User
from orchestrator.policies import requests, usage
from orchestrator.scheduler import Amount, Ledger, total

router = APIRouter(prefix="/api/v1", tags=["queues"])


@router.get("/queues")
def queues(user: User, server: Server) -> QueuesAnswer:
    """List every queue with its policy and what its jobs hold, and the jobs that wait, in the order of submission."""
    with server.database.read() as connection:
        held = db.attempts.unreleased(connection)
        jobs = db.jobs.with_attempts(connection, held)
        unfinished = [job for job in db.jobs.unfinished(connection) if job.project == user.project]
    gangs = [requests.held(attempt, jobs[attempt.job_id], (), 0, server.clock()) for attempt in held]
    ledger = Ledger(server.settings.policy, gangs, {}, total(server.supervisor.nodes or ()))
    waiting = [job for job in unfinished if not job.is_active]
    shown = [
        {
            "name": name,
            **vars(policy),
            "used_gpus": ledger.queues.get(name, Amount()).gpus,
            "used_cpus": ledger.queues.get(name, Amount()).cpus,
            "running": sum(job.queue == name and job.is_active for job in unfinished),
            "waiting": sum(job.queue == name for job in waiting),
        }
        for name, policy in server.settings.policy.queues.items()
    ]
    return {
        "queues": [cast(QueueAnswer, each) for each in shown],
        "waiting": [views.job(server, job) for job in waiting],
    }


@router.get("/usage")
def used(
    user: User,
    server: Server,
    by: usage.By = "user",
    days: Annotated[float, Query(gt=0, le=3660)] = 30,
) -> UsageAnswer:
    """Return GPU-seconds and CPU-seconds of the last days, useful and wasted: what was lost with its attempt.

    Of ended attempts by whole UTC days, the first one included; of running ones so far.
    """
    now = server.clock()
    first = int((now - days * usage.DAY) // usage.DAY)
    with server.database.read() as connection:
        rows = db.usage.since(connection, user.project, by, first)
        running = [attempt for attempt in db.attempts.unreleased(connection) if attempt.ended is None]
        jobs = db.jobs.with_attempts(connection, running)
    mine = [attempt for attempt in running if jobs[attempt.job_id].project == user.project]
    for name, more in usage.accounts(mine, jobs, by, first * usage.DAY, now).items():
        before = rows.get(name, {})
        rows[name] = {column: before.get(column, 0.0) + amount for column, amount in more.items()}
    return {"by": by, "days": days, "usage": [cast(UsageRow, {"name": name, **rows[name]}) for name in sorted(rows)]}
