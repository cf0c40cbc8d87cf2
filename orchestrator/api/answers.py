"""What the routes answer, key by key: the server builds these, the command line reads them. Times are seconds since the epoch."""

from pydantic import JsonValue
from typing_extensions import TypedDict

JsonObject = dict[str, JsonValue]


class JobAnswer(TypedDict):
    id: str
    name: str
    project: str
    kind: str
    status: str
    desired: str
    reason: str | None
    failure: str | None
    queue: str
    priority: int
    owner: str
    attempt: int
    submitted: float
    schedule: str | None
    scheduled_time: float | None
    queued: float | None
    not_before: float | None
    started: float | None
    ended: float | None
    archived: bool
    labels: dict[str, str]
    output: str
    tick: JsonObject | None  # the newest: its kind's fields, `seq`, `attempt` and `time`


class AttemptAnswer(TypedDict):
    id: str
    job_id: str
    number: int
    workers: int
    cpus_per_worker: float
    gpus_per_worker: float
    placement: dict[str, int]
    status: str
    failure: str | None
    message: str | None
    exit_code: int | None
    excused: bool | None
    host: str | None
    pid: int | None
    created: float
    submitted: float | None
    started: float | None
    heartbeat: float | None
    progressed: float | None
    stop_asked: float | None
    kill_asked: float | None
    driver_ended: float | None
    ended: float | None
    reserved_until: float | None
    released: float | None
    commit_sha256: str | None
    result: JsonObject | None  # its kind's summary
    archived: bool
    seconds: float


class NeedAnswer(TypedDict):
    name: str
    id: str
    when: str
    status: str


class WholeJobAnswer(JobAnswer):
    spec: JsonObject
    references: JsonObject
    result: JsonObject | None
    attempts: list[AttemptAnswer]
    needs: list[NeedAnswer]


class JobsAnswer(TypedDict):
    jobs: list[JobAnswer]


class SubmissionAnswer(JobsAnswer):
    schedules: list["ScheduleAnswer"]


class PlannedJobAnswer(JobAnswer):
    spec: JsonObject
    is_new: bool


class DryRunAnswer(TypedDict):
    dry_run: bool
    jobs: list[PlannedJobAnswer]
    schedules: list["ScheduleAnswer"]


class EventAnswer(TypedDict):
    seq: int
    job_id: str
    attempt: int | None
    time: float
    type: str
    message: str
    data: JsonObject | None


class EventsAnswer(TypedDict):
    job_id: str
    events: list[EventAnswer]


class TicksAnswer(TypedDict):
    job_id: str
    ticks: list[JsonObject]


class LogAnswer(TypedDict):
    job_id: str
    attempt: int
    text: str
    offset: int  # of the first byte after it, in the log as it was written
    complete: bool  # nothing more will come


class GridAnswer(TypedDict):
    file: str
    examples: int
    size: int
    modified: float
    location: str


class GridsAnswer(TypedDict):
    job_id: str
    grids: list[GridAnswer]


class ScheduleAnswer(TypedDict):
    name: str
    project: str
    owner: str
    version: int
    suspended: bool
    next_at: float | None
    reason: str | None
    created: float
    updated: float
    jobs: list[str]
    cron: str
    time_zone: str
    concurrency: str
    starting_deadline: float | None
    catch_up: str
    jitter: float
    history: dict[str, int]


class SchedulesAnswer(TypedDict):
    schedules: list[ScheduleAnswer]


class ScheduleEventAnswer(TypedDict):
    seq: int
    project: str
    schedule: str
    time: float
    type: str
    message: str
    data: JsonObject | None


class WholeScheduleAnswer(ScheduleAnswer):
    documents: list[JsonObject]
    events: list[ScheduleEventAnswer]


class ComingFiring(TypedDict):
    scheduled_time: float
    at: float  # with its jitter
    text: str


class ComingAnswer(TypedDict):
    name: str
    suspended: bool
    firings: list[ComingFiring]


class FiringAnswer(TypedDict):
    scheduled_time: float
    decided: float
    version: int
    outcome: str
    reason: str | None
    job_id: str | None
    status: str | None  # of its job, as the two below
    failure: str | None
    ended: float | None


class HistoryAnswer(TypedDict):
    name: str
    firings: list[FiringAnswer]


class QueueAnswer(TypedDict):
    name: str
    gpus: float | None
    cpus: float | None
    borrow_gpus: float | None
    borrow_cpus: float | None
    weight: float
    user_gpus: float | None
    user_jobs: int | None
    used_gpus: float
    used_cpus: float
    running: int
    waiting: int


class QueuesAnswer(TypedDict):
    queues: list[QueueAnswer]
    waiting: list[JobAnswer]


class UsageRow(TypedDict):
    name: str
    gpu_seconds_useful: float
    gpu_seconds_wasted: float
    cpu_seconds_useful: float
    cpu_seconds_wasted: float


class UsageAnswer(TypedDict):
    by: str
    days: float
    usage: list[UsageRow]


class NodeAnswer(TypedDict):
    id: str
    labels: dict[str, str]
    cpus: float
    free_cpus: float
    gpus: float
    free_gpus: float


class Held(TypedDict):
    total: float
    held: float


class ClusterAnswer(TypedDict):
    reachable: bool
    ray_address: str
    nodes: list[NodeAnswer]
    cpus: Held
    gpus: Held
    jobs: dict[str, int]  # status -> jobs that have not ended
