"""The life of a job and of an attempt, each as one table. Nothing moves a status except along it."""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    WAITING = "WAITING"  # for the jobs it needs, and for its references to be pinned
    QUEUED = "QUEUED"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    RETRYING = "RETRYING"  # until its back-off is over
    SUSPENDED = "SUSPENDED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


W, Q, ST, R, SP, RT, SU = (
    Status.WAITING, Status.QUEUED, Status.STARTING, Status.RUNNING, Status.STOPPING, Status.RETRYING, Status.SUSPENDED,
)  # fmt: skip
ENDED = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELLED})
ACTIVE = frozenset({ST, R, SP})  # an attempt of it is alive, as far as is known


class Desired(StrEnum):
    """What somebody wants of the job; the status follows."""

    RUN = "RUN"
    CANCEL = "CANCEL"
    SUSPEND = "SUSPEND"
    PREEMPT = "PREEMPT"  # a checkpoint, then back into the queue: its places are for another job, or for more of them
    FAIL = "FAIL"  # its time is over; `failure` says which


@dataclass(frozen=True)
class Transition:
    sources: frozenset[Status]
    target: Status


def _to(target: Status, *sources: Status) -> Transition:
    return Transition(frozenset(sources), target)


TRANSITIONS: dict[str, Transition] = {
    "ready": _to(Status.QUEUED, W),
    "started": _to(Status.STARTING, Q),
    "running": _to(Status.RUNNING, ST),
    "stopping": _to(Status.STOPPING, ST, R),
    "retrying": _to(Status.RETRYING, ST, R, SP),
    "requeued": _to(Status.QUEUED, RT, SP),
    "suspended": _to(Status.SUSPENDED, W, Q, ST, R, SP, RT),
    "resumed": _to(Status.WAITING, SU),
    "retried": _to(Status.WAITING, Status.FAILED, Status.CANCELLED),  # by a user: the one way back from an end
    "succeeded": _to(Status.SUCCEEDED, ST, R, SP),
    "sweep_finished": _to(Status.SUCCEEDED, W),  # a sweep whose jobs have all ended
    "failed": _to(Status.FAILED, W, Q, ST, R, SP, RT, SU),
    "cancelled": _to(Status.CANCELLED, W, Q, ST, R, SP, RT, SU),
}


class AttemptStatus(StrEnum):
    STARTING = "STARTING"
    RUNNING = "RUNNING"  # its driver has claimed it
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    STOPPED = "STOPPED"  # with a checkpoint, to go on later
    LOST = "LOST"  # its driver is gone, or silent


ATTEMPT_LIVE = frozenset({AttemptStatus.STARTING, AttemptStatus.RUNNING})
