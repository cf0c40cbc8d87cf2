"""Who starts now, and why the others wait. Pure: the same snapshot, the same plan.

First in, first out by priority. Gangs are whole or not at all. The first that does not fit blocks those
behind it, so that a large gang is never starved by small ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

AUTO: Literal["auto"] = "auto"
_ROUNDING = 1e-6  # Ray counts resources in ten-thousandths


@dataclass(frozen=True, kw_only=True)
class Node:
    id: str
    cpus: float
    gpus: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Queued:
    """A job that may start, and the gang it asks for."""

    job_id: str
    name: str
    priority: int
    submitted: float
    sizes: tuple[int, ...]  # numbers of workers that will do, best first
    cpus_per_worker: float
    gpus_per_worker: float | Literal["auto"] = AUTO


@dataclass(frozen=True, kw_only=True)
class Held:
    """What an attempt has on the cluster until Ray confirms its end."""

    placement: Mapping[str, int]  # node id -> workers
    cpus_per_worker: float
    gpus_per_worker: float


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    queued: Sequence[Queued]
    held: Sequence[Held] = ()
    nodes: Sequence[Node] = ()


@dataclass(frozen=True, kw_only=True)
class Start:
    job_id: str
    workers: int
    cpus_per_worker: float
    gpus_per_worker: float
    placement: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Wait:
    job_id: str
    reason: str


def plan(snapshot: Snapshot) -> list[Start | Wait]:
    """One decision for each queued job, in the order of the queue."""
    free = unheld(snapshot.nodes, snapshot.held)
    decisions: list[Start | Wait] = []
    blocker: Queued | None = None
    for job in sorted(snapshot.queued, key=lambda job: (-job.priority, job.submitted, job.job_id)):
        start = None if blocker else _start(job, snapshot.nodes, free)
        if start:
            free = _less(free, start)
            decisions.append(start)
        else:
            decisions.append(Wait(job_id=job.job_id, reason=_reason(job, snapshot.nodes, free, blocker)))
            blocker = blocker or job
    return decisions


def _start(job: Queued, nodes: Sequence[Node], free: Sequence[Node]) -> Start | None:
    for workers in job.sizes:
        gpus = gpus_for(job.gpus_per_worker, workers, nodes)
        placement = place(workers, job.cpus_per_worker, gpus, free)
        if placement is not None:
            return Start(
                job_id=job.job_id,
                workers=workers,
                cpus_per_worker=job.cpus_per_worker,
                gpus_per_worker=gpus,
                placement=placement,
            )
    return None


def gpus_for(asked: float | Literal["auto"], workers: int, nodes: Sequence[Node]) -> float:
    """`auto` is one GPU each where the cluster has that many in all, busy or not; else none."""
    if asked != AUTO:
        return float(asked)
    return 1.0 if sum(int(node.gpus) for node in nodes) >= workers else 0.0


def place(workers: int, cpus: float, gpus: float, free: Sequence[Node]) -> dict[str, int] | None:
    """Node id -> workers, or None when the whole gang has no room. CPU gangs go where no GPU idles for them."""
    placement: dict[str, int] = {}
    left = workers
    for node in sorted(free, key=lambda node: (node.gpus if not gpus else 0, -_room(node, cpus, gpus), node.id)):
        share = min(left, _room(node, cpus, gpus))
        if share > 0:
            placement[node.id] = share
            left -= share
    return placement if left == 0 else None


def _room(node: Node, cpus: float, gpus: float) -> int:
    """How many such workers fit on a node."""
    rooms = [int((has + _ROUNDING) // needs) for has, needs in ((node.cpus, cpus), (node.gpus, gpus)) if needs > 0]
    return max(0, min(rooms, default=0))


def unheld(nodes: Sequence[Node], gangs: Sequence[Held]) -> list[Node]:
    """The same nodes with what nobody holds. What was held on a node that is gone is held no more."""
    free = list(nodes)
    for held in gangs:
        free = _less(free, held)
    return free


def _less(nodes: Sequence[Node], gang: Start | Held) -> list[Node]:
    return [_without(node, gang.placement.get(node.id, 0), gang) for node in nodes]


def _without(node: Node, workers: int, gang: Start | Held) -> Node:
    return Node(
        id=node.id, cpus=node.cpus - workers * gang.cpus_per_worker, gpus=node.gpus - workers * gang.gpus_per_worker
    )


def _reason(job: Queued, nodes: Sequence[Node], free: Sequence[Node], blocker: Queued | None) -> str:
    workers = job.sizes[-1]
    gpus = gpus_for(job.gpus_per_worker, workers, nodes)
    reason = shortage(workers, job.cpus_per_worker, gpus, nodes) or _waiting(workers, job.cpus_per_worker, gpus, free)
    return f"{reason}; behind job {blocker.name}" if blocker else reason


def shortage(workers: int, cpus: float, gpus: float, nodes: Sequence[Node]) -> str | None:
    """What this cluster lacks for the gang even when it is empty, or None."""
    if place(workers, cpus, gpus, nodes) is not None:
        return None
    for needs, have, unit in _sums(workers, cpus, gpus, nodes):
        if needs > have + _ROUNDING:
            return f"needs {_count(needs, unit)}; the cluster has {have:g} in all"
    room = sum(_room(node, cpus, gpus) for node in nodes)
    return f"needs {workers} workers of {_gang(cpus, gpus)} each; the cluster's nodes have room for {room}"


def _waiting(workers: int, cpus: float, gpus: float, free: Sequence[Node]) -> str:
    for needs, have, unit in _sums(workers, cpus, gpus, free):
        if needs > have + _ROUNDING:
            return f"waiting for {_count(needs, unit)}; {max(have, 0):g} free"
    room = sum(_room(node, cpus, gpus) for node in free)
    return f"waiting for {workers} workers of {_gang(cpus, gpus)} each; room for {min(room, workers)}"


def _sums(
    workers: int, cpus: float, gpus: float, nodes: Sequence[Node]
) -> tuple[tuple[float, float, str], tuple[float, float, str]]:
    return (
        (workers * gpus, sum(node.gpus for node in nodes), "GPU"),
        (workers * cpus, sum(node.cpus for node in nodes), "CPU"),
    )


def _gang(cpus: float, gpus: float) -> str:
    return " and ".join(_count(number, unit) for number, unit in ((cpus, "CPU"), (gpus, "GPU")) if number)


def _count(number: float, unit: str) -> str:
    return f"{number:g} {unit}" if number == 1 else f"{number:g} {unit}s"
