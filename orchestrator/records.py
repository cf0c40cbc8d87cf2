"""Rows of the database as frozen values, field for field as in db/tables.py."""

from dataclasses import dataclass, field, replace
from typing import Any

from jobs.specs import spec as job_spec
from jobs.storage.layout import Layout
from jobs.wire import Recorded
from orchestrator.states import ACTIVE, ATTEMPT_LIVE, ENDED, Status

Json = dict[str, Any]  # a JSON column: written as typed messages, read by name

_parsed: dict[tuple[str, str], job_spec.Job] = {}  # by id and digest: ids of two databases may be the same
_PARSED_KEPT = 20_000


class Unreadable(ValueError):
    """A spec of an earlier version that this one refuses."""


@dataclass(frozen=True, kw_only=True)
class JobSummary:
    """A job without its large columns: what lists show."""

    id: str
    seq: int = 0
    project: str
    name: str
    kind: str
    queue: str
    priority: int
    owner: str
    labels: Json = field(default_factory=dict)
    status: str
    desired: str
    reason: str | None = None
    failure: str | None = None
    attempt: int = 0
    submitted: float
    schedule: str | None = None
    scheduled_time: float | None = None
    queued: float | None = None
    not_before: float | None = None
    started: float | None = None
    ended: float | None = None
    ended_seq: int | None = None
    described: bool = False
    archived: bool = False

    @property
    def layout(self) -> Layout:
        return Layout(project=self.project, job_name=self.name, job_id=self.id)

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED

    @property
    def is_active(self) -> bool:
        return self.status in ACTIVE

    @property
    def is_queued(self) -> bool:
        return self.status == Status.QUEUED


@dataclass(frozen=True, kw_only=True)
class JobEnd:
    """What became of a job, as far as it has come."""

    id: str
    status: str
    failure: str | None
    ended: float | None

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED


@dataclass(frozen=True, kw_only=True)
class Job(JobSummary):
    spec: job_spec.Plain
    spec_digest: str
    source_digest: str | None = None
    pinned: Json | None = None
    totals: Json | None = None
    commit_sha256: str | None = None
    lineage: list[Json] | None = field(default_factory=list)

    @property
    def recorded(self) -> tuple[Recorded, ...] | None:
        """Return the checkpoints to resume from, newest first; None: from before they were recorded."""
        return None if self.lineage is None else tuple(map(Recorded.model_validate, self.lineage))

    def evolve(self, **changes: Any) -> "Job":
        return replace(self, **changes)

    @property
    def parsed(self) -> job_spec.Job:
        """Return the spec. Raises Unreadable when it is not one for this version any more."""
        key = self.id, self.spec_digest
        if key not in _parsed:
            if len(_parsed) >= _PARSED_KEPT:
                _parsed.clear()
            _parsed[key] = _read(self)
        return _parsed[key]

    @property
    def is_sweep(self) -> bool:
        """Return whether it is one: it runs nothing itself, its jobs do."""
        return bool(self.spec.get("matrix"))


def _read(job: Job) -> job_spec.Job:
    try:
        return job_spec.parse(job.spec)
    except ValueError as error:
        raise Unreadable(f"the spec of job {job.id} cannot be read by this version of ganworks: {error}") from None


@dataclass(frozen=True, kw_only=True)
class Attempt:
    id: str
    job_id: str
    number: int
    workers: int
    cpus_per_worker: float
    gpus_per_worker: float
    placement: dict[str, int]
    status: str
    failure: str | None = None
    message: str | None = None
    exit_code: int | None = None
    excused: bool | None = None
    claim_hash: str = ""
    nonce_hash: str | None = None
    token_hash: str | None = None
    host: str | None = None
    pid: int | None = None
    created: float
    submitted: float | None = None
    started: float | None = None
    heartbeat: float | None = None
    progressed: float | None = None
    position: str | None = None
    stop_asked: float | None = None
    kill_asked: float | None = None
    driver_ended: float | None = None
    ended: float | None = None
    reserved_until: float | None = None
    released: float | None = None
    commit_sha256: str | None = None
    result: Json | None = None
    archived: bool = False

    @property
    def is_live(self) -> bool:
        return self.status in ATTEMPT_LIVE

    def seconds(self, now: float) -> float:
        """Return how long its driver has run."""
        return (self.ended or now) - self.started if self.started else 0.0


@dataclass(frozen=True, kw_only=True)
class Need:
    job_id: str
    upstream_id: str
    when: str
    upstream_name: str
    upstream_status: str
    upstream_failure: str | None


@dataclass(frozen=True, kw_only=True)
class Event:
    seq: int
    job_id: str
    attempt: int | None
    time: float
    type: str
    message: str
    data: Json | None


@dataclass(frozen=True, kw_only=True)
class Tick:
    seq: int
    job_id: str
    attempt: int
    time: float
    data: Json


@dataclass(frozen=True, kw_only=True)
class Schedule:
    project: str
    name: str
    owner: str
    documents: list[job_spec.Plain]
    attached: list[str]
    digest: str
    version: int = 1
    suspended: bool
    created: float
    updated: float
    considered: float
    next_at: float | None = None
    reason: str | None = None

    @property
    def timing(self) -> job_spec.Schedule:
        """Return when it ticks, and what a tick does about those before it."""
        return job_spec.Schedule.model_validate(self.documents[0]["schedule"])


@dataclass(frozen=True, kw_only=True)
class ScheduleFiring:
    project: str
    schedule: str
    scheduled_time: float
    decided: float
    version: int
    outcome: str
    reason: str | None = None
    job_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class ScheduleEvent:
    seq: int
    project: str
    schedule: str
    time: float
    type: str
    message: str
    data: Json | None


@dataclass(frozen=True, kw_only=True)
class Token:
    hash: str
    project: str
    owner: str
    role: str
