"""Why a job waits, in one sentence."""

from bisect import bisect_left
from collections.abc import Sequence
from operator import neg

from orchestrator.scheduler.backlog import Shape, UserQueue
from orchestrator.scheduler.capacity import Capacity, takes
from orchestrator.scheduler.model import ROUNDING, Amount, Node, Queued
from orchestrator.scheduler.quota import Ledger

UNITS = ("CPU", "GPU", "GiB memory")
SHOWN = (1, 0, 2)  # GPUs are scarcest: they are told of first


def gpus_for(asked: float | str, workers: int, gpus: float) -> float:
    """Read `auto` as one GPU each where the cluster has that many in all, busy or not; else as none."""
    if asked != "auto":
        return float(asked)
    return 1.0 if gpus >= workers else 0.0


def whole_gpus(nodes: Sequence[Node]) -> int:
    return sum(int(node.gpus) for node in nodes)


def each_of(job: Queued, workers: int, gpus: float) -> Amount:
    """Return what one worker of a gang of this size holds, in a cluster of so many GPUs."""
    return Amount(job.cpus_per_worker, gpus_for(job.gpus_per_worker, workers, gpus), job.memory_per_worker)


def alike(job: Queued, gpus: float) -> list[Sequence[int]]:
    """Return the sizes in the parts in which each worker holds the same: beyond the cluster's GPUs, `auto` is none."""
    first = bisect_left(job.sizes, -gpus, key=neg) if job.gpus_per_worker == "auto" else 0
    return [part for part in (job.sizes[:first], job.sizes[first:]) if part]


def shortage(job: Queued, nodes: Sequence[Node], empty: Capacity | None = None) -> str | None:
    """Return what this cluster lacks for the smallest gang that will do even when it is empty, or None."""
    workers = job.sizes[-1]
    each = each_of(job, workers, whole_gpus(nodes))
    empty = empty or Capacity(nodes)
    room = empty.room(job, each)
    if room >= workers:
        return None
    matching = [node for node in nodes if takes(node.kind, job)]
    for needs, have, unit in _sums(each.times(workers), [node.amount for node in matching]):
        if needs > have + ROUNDING:
            return f"needs {count(needs, unit)}{where(job)}; the cluster has {shown(have, unit)} in all"
    return f"needs {workers} workers of {gang(each)} each{where(job)}; the cluster's nodes have room for {room}"


def waiting(job: Queued, each: Amount, free: Capacity) -> str:
    workers = job.sizes[-1]
    amounts = [state[1].times(len(ids)) for state, ids in free.groups.items() if takes(state[0], job)]
    for needs, have, unit in _sums(each.times(workers), amounts):
        if needs > have + ROUNDING:
            return f"waiting for {count(needs, unit)}{where(job)}; {shown(max(have, 0), unit)} free"
    room = min(free.room(job, each), workers)
    return f"waiting for {workers} workers of {gang(each)} each{where(job)}; room for {room}"


class Reasons:
    """Why jobs of this snapshot wait, each looked up once."""

    def __init__(self, nodes: Sequence[Node], gpus: float, ledger: Ledger, free: Capacity) -> None:
        self.nodes, self.gpus, self.ledger, self.free = nodes, gpus, ledger, free
        self._empty: Capacity | None = None
        self._missing: dict[Shape, str | None] = {}
        self._for_room: dict[Shape, str] = {}
        self._said: dict[tuple[str, str], dict[Shape, tuple[str, bool]]] = {}

    def of(self, user_queue: UserQueue, job: Queued, shape: Shape) -> tuple[str, bool]:
        """Return the reason, and whether it waits for room: not for quota, nor for a larger cluster."""
        said = self._said.setdefault((user_queue.queue, user_queue.owner), {})
        if shape not in said:
            said[shape] = self._of(job, shape)
        return said[shape]

    def _of(self, job: Queued, shape: Shape) -> tuple[str, bool]:
        each = each_of(job, job.sizes[-1], self.gpus)
        if not self.is_possible(job, shape):
            return self._missing[shape] or "", False
        if refusal := self.ledger.refusal(job, each.times(job.sizes[-1])):
            return refusal, False
        if shape not in self._for_room:
            self._for_room[shape] = waiting(job, each, self.free)
        return self._for_room[shape], True

    def is_possible(self, job: Queued, shape: Shape) -> bool:
        """Return whether the empty cluster had room for it."""
        if shape not in self._missing:
            self._empty = self._empty or Capacity(self.nodes)
            self._missing[shape] = shortage(job, self.nodes, self._empty)
        return self._missing[shape] is None


def where(job: Queued) -> str:
    """Name the nodes that it insists on."""
    parts = [f"on {job.accelerator}"] if job.accelerator else []
    if job.node_labels:
        parts.append("on nodes with " + ", ".join(f"{name}={value}" for name, value in job.node_labels))
    return (" " + " ".join(parts)) if parts else ""


def _sums(needs: Amount, amounts: Sequence[Amount]) -> list[tuple[float, float, str]]:
    return [(needs[n], sum(amount[n] for amount in amounts), UNITS[n]) for n in SHOWN if needs[n] > 0]


def shown(number: float, unit: str) -> str:
    return f"{number / 2**30:.3g}" if unit == "GiB memory" else f"{number:g}"


def gang(each: Amount) -> str:
    return " and ".join(count(each[n], UNITS[n]) for n in range(3) if each[n])


def count(number: float, unit: str) -> str:
    text = f"{shown(number, unit)} {unit}"
    return text if number == 1 or unit == "GiB memory" else f"{text}s"
