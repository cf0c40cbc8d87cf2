"""A spec becomes a job: its id, its first state, its spec's digest."""

from dataclasses import dataclass
from datetime import UTC, datetime

from jobs import kinds
from jobs.digest import of_json
from jobs.specs import spec as job_spec
from jobs.specs.spec import Job as Spec
from jobs.storage.layout import new_job_id
from orchestrator.records import Job
from orchestrator.states import Desired, Status


@dataclass(frozen=True, kw_only=True)
class Asker:
    project: str
    owner: str


def digest(spec: Spec) -> str:
    return of_json(job_spec.dump(spec))


def new_job(
    spec: Spec, asker: Asker, now: float, source: str | None, spec_digest: str, scheduled: float | None = None
) -> Job:
    waits = bool(
        job_spec.upstream(spec) or kinds.of(spec).references(spec) or spec.matrix
    )  # references are pinned first
    return Job(
        id=new_job_id(datetime.fromtimestamp(now, UTC)),
        project=asker.project,
        name=spec.name,
        kind=spec.kind,
        queue=spec.queue,
        priority=spec.priority,
        owner=asker.owner,
        spec=job_spec.dump(spec),
        spec_digest=spec_digest,
        labels=dict(spec.labels),
        source_digest=source,
        pinned=None if waits else {},
        status=Status.WAITING if waits else Status.QUEUED,
        desired=Desired.RUN,
        submitted=now,
        scheduled_time=scheduled,
        queued=None if waits else now,
    )
