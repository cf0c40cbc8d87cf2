"""What a plan is made from and what it says. Frozen values; times are seconds since the epoch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple

AUTO: Literal["auto"] = "auto"
UNKNOWN = 4 * 3600.0  # seconds that a job without a timeout is taken to ask for
MOST_OVERTAKEN = 7 * 86400.0  # seconds by which a job can have been submitted before another that goes first
ROUNDING = 1e-6  # Ray counts resources in ten-thousandths


class Amount(NamedTuple):
    """Of one node, one worker, or a sum."""

    cpus: float = 0.0
    gpus: float = 0.0
    memory: float = 0.0  # bytes

    def times(self, n: float) -> "Amount":
        return Amount(self.cpus * n, self.gpus * n, self.memory * n)

    def plus(self, other: "Amount", n: float = 1) -> "Amount":
        return Amount(self.cpus + n * other.cpus, self.gpus + n * other.gpus, self.memory + n * other.memory)


NOTHING = Amount()
Kind = tuple[bool, str | None, tuple[tuple[str, str], ...]]  # of a node: has GPUs, accelerator, labels


@dataclass(frozen=True, kw_only=True)
class Node:
    id: str
    cpus: float
    gpus: float = 0.0
    memory: float = 0.0  # bytes
    accelerator: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def amount(self) -> Amount:
        return Amount(self.cpus, self.gpus, self.memory)

    @cached_property
    def kind(self) -> Kind:
        return self.gpus > 0, self.accelerator, tuple(sorted(self.labels.items()))


@dataclass(frozen=True, kw_only=True)
class Queued:
    """A job that may start, and the gang it asks for."""

    job_id: str
    name: str
    priority: int
    submitted: float
    sizes: Sequence[int]  # numbers of workers that will do, falling: a tuple, or a range however long
    cpus_per_worker: float
    gpus_per_worker: float | Literal["auto"] = AUTO
    memory_per_worker: float = 0.0
    accelerator: str | None = None
    node_labels: tuple[tuple[str, str], ...] = ()
    avoided: tuple[str, ...] = ()  # nodes where it failed again and again; others are better, if there are any
    queue: str = "default"
    owner: str = ""
    longest: float | None = None  # seconds that it may run at most; None: unknown

    @cached_property
    def shape(self) -> tuple[object, ...]:
        """Return what decides where it fits: two jobs of one shape fit in the same places."""
        return (
            self.sizes, self.cpus_per_worker, self.gpus_per_worker, self.memory_per_worker,
            self.accelerator, self.node_labels, self.avoided,
        )  # fmt: skip

    @cached_property
    def due(self) -> float:
        """Rank it among its equals: who asks for little goes before those of somewhat earlier who ask for much."""
        longest = UNKNOWN if self.longest is None else self.longest
        return self.submitted + min(longest * self.sizes[-1], MOST_OVERTAKEN)


@dataclass(frozen=True, kw_only=True)
class Held:
    """What an attempt has on the cluster until Ray confirms its end."""

    placement: Mapping[str, int]  # node id -> workers
    cpus_per_worker: float
    gpus_per_worker: float
    memory_per_worker: float = 0.0
    job_id: str = ""
    name: str = ""
    queue: str = "default"
    owner: str = ""
    priority: int = 50
    started: float = 0.0
    ends: float | None = None  # when it is over at the latest; None: unknown
    is_stopping: bool = True  # or over, and not confirmed: neither preempted nor grown, and free soon
    stopped: int = 0  # how often earlier attempts of the job were stopped
    sizes: Sequence[int] = ()  # of an elastic job, the largest first

    @cached_property
    def each(self) -> Amount:
        return Amount(self.cpus_per_worker, self.gpus_per_worker, self.memory_per_worker)

    @cached_property
    def workers(self) -> int:
        return sum(self.placement.values())

    @cached_property
    def amount(self) -> Amount:
        return self.each.times(self.workers)


@dataclass(frozen=True, kw_only=True)
class QueuePolicy:
    """A queue's part of the cluster."""

    gpus: float | None = None  # guaranteed; null: nothing is guaranteed and nothing limited
    cpus: float | None = None
    borrow_gpus: float | None = None  # beyond the guarantee while others leave them idle; null: as many as there are
    borrow_cpus: float | None = None
    weight: float = 1.0  # of its fair share
    user_gpus: float | None = None  # that one user's jobs may hold in it
    user_jobs: int | None = None  # of one user that may run at once


@dataclass(frozen=True, kw_only=True)
class Policy:
    queues: Mapping[str, QueuePolicy] = field(default_factory=lambda: {"default": QueuePolicy()})
    half_life: float = 7 * 86400.0  # seconds after which use counts half
    preemption: bool = True
    protected: float = 60.0  # seconds from its start for which an attempt is not preempted; doubles with each stop
    grow_after: float = 300.0  # seconds for which capacity must have been idle before an elastic job grows


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    queued: Sequence[Queued] = ()
    held: Sequence[Held] = ()
    nodes: Sequence[Node] = ()
    policy: Policy = field(default_factory=Policy)
    usage: Mapping[tuple[str, str], Amount] = field(default_factory=dict)  # (queue, owner) -> recent average
    now: float = 0.0
    idle_since: float | None = None  # since when nobody waited for room; None: somebody does


@dataclass(frozen=True, kw_only=True)
class Start:
    job_id: str
    workers: int
    cpus_per_worker: float
    gpus_per_worker: float
    memory_per_worker: float = 0.0
    placement: Mapping[str, int] = field(default_factory=dict)

    @property
    def each(self) -> Amount:
        return Amount(self.cpus_per_worker, self.gpus_per_worker, self.memory_per_worker)


@dataclass(frozen=True, kw_only=True)
class Preempt:
    """Stop it with a checkpoint; it is queued again and goes on from there."""

    job_id: str
    reason: str
    kind: Literal["preempt", "shrink", "grow"] = "preempt"
    sake: str | None = None  # id of the job that it makes room for; None: its own


@dataclass(frozen=True, kw_only=True)
class Wait:
    job_id: str
    reason: str
