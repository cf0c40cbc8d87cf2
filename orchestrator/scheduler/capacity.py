"""Free room on the nodes, and where a gang goes in it. Nodes that are alike and equally free are one group.

A worker has all its resources on one node. A gang that fits on one node goes to the fullest that takes it;
a larger one takes the emptiest nodes first, so that it spans few. CPU gangs go where no GPU idles for them.
"""

from bisect import insort
from collections.abc import Iterable, Mapping, Sequence

from orchestrator.scheduler.model import ROUNDING, Amount, Held, Kind, Node, Queued

State = tuple[Kind, Amount]


def takes(kind: Kind, job: Queued) -> bool:
    """Return whether such nodes are what the job asks for."""
    if job.accelerator is not None and kind[1] != job.accelerator:
        return False
    return not job.node_labels or set(job.node_labels) <= set(kind[2])


def fits(free: Amount, each: Amount) -> int:
    """Return how many such workers have room."""
    least = 1 << 30
    for has, needs in zip(free, each, strict=True):
        if needs > 0:
            least = min(least, int((has + ROUNDING) // needs))
    return max(0, least) if least < 1 << 30 else 0


class Capacity:
    """Mutable within one plan, never seen outside of it."""

    def __init__(self, nodes: Iterable[Node] = (), held: Iterable[Held] = ()) -> None:
        self.kinds = {node.id: node.kind for node in nodes}
        self._fill(_free(nodes, held))

    def _fill(self, free: dict[str, Amount]) -> None:
        self.free = free
        self.groups: dict[State, list[str]] = {}
        for id, amount in free.items():
            self.groups.setdefault((self.kinds[id], amount), []).append(id)
        for group in self.groups.values():
            group.sort()

    def at(self, free: dict[str, Amount]) -> "Capacity":
        """Return the same nodes with other room."""
        twin = Capacity()
        twin.kinds = self.kinds
        twin._fill(free)
        return twin

    def copy(self) -> "Capacity":
        twin = Capacity()
        twin.kinds, twin.free = self.kinds, dict(self.free)
        twin.groups = {state: list(group) for state, group in self.groups.items()}
        return twin

    def set(self, node: str, amount: Amount) -> None:
        before = (self.kinds[node], self.free[node])
        group = self.groups[before]
        group.remove(node)
        if not group:
            del self.groups[before]
        self.free[node] = amount
        insort(self.groups.setdefault((self.kinds[node], amount), []), node)

    def change(self, placement: Mapping[str, int], each: Amount, sign: int) -> None:
        """Take (-1) or give back (+1)."""
        for node, workers in placement.items():
            if node in self.free:
                self.set(node, self.free[node].plus(each, sign * workers))

    def place(self, job: Queued, workers: int, each: Amount) -> dict[str, int] | None:
        """Return node id -> workers, or None when the whole gang has no room."""
        states = self._states(job, each)
        if sum(room * len(self.groups[state]) for room, state in states) < workers:
            return None
        if job.avoided:
            return self._spread(self._around(states, job.avoided, workers), workers)
        if not each.gpus:
            plain = [(room, state) for room, state in states if not state[0][0]]
            if sum(room * len(self.groups[state]) for room, state in plain) < workers:
                return self._spread(self._by_room(plain) + self._by_room(s for s in states if s[1][0][0]), workers)
            states = plain
        return self._spread(self._by_room(states), workers)

    def room(self, job: Queued, each: Amount) -> int:
        return sum(room * len(self.groups[state]) for room, state in self._states(job, each))

    def _states(self, job: Queued, each: Amount) -> list[tuple[int, State]]:
        return [(room, state) for state in self.groups if takes(state[0], job) and (room := fits(state[1], each)) > 0]

    def _by_room(self, states: Iterable[tuple[int, State]]) -> list[tuple[int, list[str]]]:
        """Put the emptiest first."""
        found = sorted(((room, self.groups[state]) for room, state in states), key=lambda f: (-f[0], f[1][0]))
        return found

    def _around(
        self, states: list[tuple[int, State]], avoided: Sequence[str], workers: int
    ) -> list[tuple[int, list[str]]]:
        """Leave out the avoided nodes where the others are enough, else put them last."""
        nodes = [(room, id) for room, state in states for id in self.groups[state]]
        ordered = sorted(nodes, key=lambda node: (node[1] in avoided, -node[0], node[1]))
        others = [(room, id) for room, id in ordered if id not in avoided]
        enough = sum(room for room, _ in others) >= workers
        return [(room, [id]) for room, id in (others if enough else ordered)]

    def _spread(self, groups: list[tuple[int, list[str]]], workers: int) -> dict[str, int]:
        placement: dict[str, int] = {}
        left = workers
        for n, (room, ids) in enumerate(groups):
            for id in ids:
                if left <= room:
                    tight = self._tight(groups[n:], left, placement)
                    return placement | {tight: left}
                placement[id] = room
                left -= room
        raise AssertionError("room was counted before")

    def _tight(self, groups: list[tuple[int, list[str]]], left: int, placement: Mapping[str, int]) -> str:
        """Return the fullest node that still takes all that is left."""
        for room, ids in reversed(groups):
            if room >= left:
                for id in ids:
                    if id not in placement:
                        return id
        raise AssertionError("the first of the groups takes it")


def _free(nodes: Iterable[Node], held: Iterable[Held]) -> dict[str, Amount]:
    """Return what nobody holds. What was held on a node that is gone is held no more."""
    free = {node.id: list(node.amount) for node in nodes}
    for gang in held:
        cpus, gpus, memory = gang.each
        for id, workers in gang.placement.items():
            if id in free:
                left = free[id]
                left[0] -= workers * cpus
                left[1] -= workers * gpus
                left[2] -= workers * memory
    return {id: Amount(*left) for id, left in free.items()}


def total(nodes: Iterable[Node]) -> Amount:
    cpus = gpus = memory = 0.0
    for node in nodes:
        cpus, gpus, memory = cpus + node.cpus, gpus + node.gpus, memory + node.memory
    return Amount(cpus, gpus, memory)


def unheld(nodes: Sequence[Node], gangs: Sequence[Held]) -> list[Node]:
    """Return the same nodes with what nobody holds."""
    free = _free(nodes, gangs)
    return [
        Node(id=n.id, cpus=free[n.id].cpus, gpus=free[n.id].gpus, memory=free[n.id].memory,
             accelerator=n.accelerator, labels=n.labels)
        for n in nodes
    ]  # fmt: skip
