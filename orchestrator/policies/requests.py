"""Jobs and attempts as the plan sees them. Pure."""

from collections.abc import Sequence

from jobs import kinds
from jobs.specs.spec import Job as Spec
from orchestrator.policies import retry
from orchestrator.records import Attempt, Job
from orchestrator.scheduler import Held, Queued


def queued(job: Job, attempts: Sequence[Attempt], grace: float, now: float) -> Queued:
    """Return what a queued job may be given. `grace`: how much longer than its timeout it can hold its places."""
    spec, resources = job.parsed, job.parsed.resources
    return Queued(
        job_id=job.id,
        name=job.name,
        priority=job.priority,
        submitted=job.submitted,
        sizes=sizes(spec),
        cpus_per_worker=resources.cpus_per_worker,
        gpus_per_worker=resources.gpus_per_worker,
        memory_per_worker=float(resources.memory_per_worker or 0),
        accelerator=resources.accelerator,
        node_labels=tuple(sorted(resources.node_labels.items())),
        avoided=retry.avoided(attempts),
        queue=job.queue,
        owner=job.owner,
        longest=_left(spec, attempts, grace, now),
    )


def sizes(spec: Spec) -> tuple[int, ...]:
    """Return the numbers of workers that will do, the largest first."""
    return kinds.of(spec).sizes(spec)


def _left(spec: Spec, attempts: Sequence[Attempt], grace: float, now: float) -> float | None:
    if spec.timeout is None:
        return None
    return max(spec.timeout - sum(attempt.seconds(now) for attempt in attempts if not attempt.excused), 0.0) + grace


def held(attempt: Attempt, job: Job, attempts: Sequence[Attempt], grace: float, now: float) -> Held:
    """Return what an attempt has until its release, whatever became of it."""
    left = _left(job.parsed, attempts, grace, now)
    own = sizes(job.parsed)
    return Held(
        placement=attempt.placement,
        cpus_per_worker=attempt.cpus_per_worker,
        gpus_per_worker=attempt.gpus_per_worker,
        memory_per_worker=float(job.parsed.resources.memory_per_worker or 0),
        job_id=job.id,
        name=job.name,
        queue=job.queue,
        owner=job.owner,
        priority=job.priority,
        started=attempt.created,
        ends=None if left is None or attempt.started is None else now + left,
        is_stopping=not attempt.is_live or attempt.stop_asked is not None,
        stopped=sum(earlier.stop_asked is not None for earlier in attempts if earlier.number < attempt.number),
        sizes=own if len(own) > 1 else (),
    )
