"""What routes show of jobs: no hash, no claim, no token."""

from collections.abc import Sequence
from typing import cast

from orchestrator.api.answers import (
    AttemptAnswer,
    EventAnswer,
    FiringAnswer,
    JobAnswer,
    JsonObject,
    ScheduleAnswer,
    WholeJobAnswer,
)
from orchestrator.records import Attempt, Event, Job, JobEnd, JobSummary, Need, Schedule, ScheduleFiring, Tick
from orchestrator.server.state import ServerState

_ATTEMPT_HIDES = {"claim_hash", "nonce_hash", "token_hash", "position"}


def job(server: ServerState, job: JobSummary, tick: Tick | None = None) -> JobAnswer:
    return {
        "id": job.id,
        "name": job.name,
        "project": job.project,
        "kind": job.kind,
        "status": job.status,
        "desired": job.desired,
        "reason": job.reason,
        "failure": job.failure,
        "queue": job.queue,
        "priority": job.priority,
        "owner": job.owner,
        "attempt": job.attempt,
        "submitted": job.submitted,
        "schedule": job.schedule,
        "scheduled_time": job.scheduled_time,
        "queued": job.queued,
        "not_before": job.not_before,
        "started": job.started,
        "ended": job.ended,
        "archived": job.archived,
        "labels": job.labels,
        "output": server.store.locate(job.layout.prefix),
        "tick": shown_tick(tick) if tick else None,
    }


def whole_job(
    server: ServerState, record: Job, tick: Tick | None, attempts: Sequence[Attempt], needs: Sequence[Need]
) -> WholeJobAnswer:
    return {
        **job(server, record, tick),
        "spec": record.spec,
        "references": record.pinned or {},
        "result": attempts[-1].result if attempts else None,
        "attempts": [attempt(each, server.clock()) for each in attempts],
        "needs": [
            {"name": need.upstream_name, "id": need.upstream_id, "when": need.when, "status": need.upstream_status}
            for need in needs
        ],
    }


def attempt(attempt: Attempt, now: float) -> AttemptAnswer:
    shown = {name: value for name, value in vars(attempt).items() if name not in _ATTEMPT_HIDES}
    return cast(AttemptAnswer, {**shown, "seconds": attempt.seconds(now)})


def event(event: Event) -> EventAnswer:
    return cast(EventAnswer, dict(vars(event)))


def shown_tick(tick: Tick) -> JsonObject:
    """Return a tick as it was posted, with its number, attempt and time."""
    return {**tick.data, "seq": tick.seq, "attempt": tick.attempt, "time": tick.time}


def schedule(schedule: Schedule) -> ScheduleAnswer:
    timing = schedule.timing
    shown = {
        "name": schedule.name,
        "project": schedule.project,
        "owner": schedule.owner,
        "version": schedule.version,
        "suspended": schedule.suspended,
        "next_at": None if schedule.suspended else schedule.next_at,
        "reason": schedule.reason,
        "created": schedule.created,
        "updated": schedule.updated,
        "jobs": [document["name"] for document in schedule.documents],
        **timing.model_dump(mode="json", exclude={"suspend"}),
    }
    return cast(ScheduleAnswer, shown)


def schedule_firing(firing: ScheduleFiring, job: JobEnd | None) -> FiringAnswer:
    shown = {name: value for name, value in vars(firing).items() if name not in ("project", "schedule")}
    told = {"status": job and job.status, "failure": job and job.failure, "ended": job and job.ended}
    return cast(FiringAnswer, {**shown, **told})
