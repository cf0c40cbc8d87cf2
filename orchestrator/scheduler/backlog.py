"""The queue in lines and lanes. A line is a user's jobs of one priority in one queue; a lane of it holds those that
differ in nothing but their time of submission, in that order (`Queued.due`: within a lane that is the same).

If the first of a lane does not fit, none behind it does: a plan looks at lanes, not at a hundred thousand jobs. And
it looks at the firsts of the lanes in order, which are kept here from plan to plan.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Iterator
from weakref import WeakValueDictionary

from orchestrator.scheduler.model import Queued


class Shape:
    """What jobs that fit in the same places have in common: one object for each shape, so that it is its own key."""

    __slots__ = ("__weakref__", "job")

    def __init__(self, job: Queued) -> None:
        self.job = job  # one of them


class Lane:
    __slots__ = ("jobs", "longest", "shape")

    def __init__(self, shape: Shape, longest: float | None) -> None:
        self.shape, self.longest = shape, longest
        self.jobs: list[Queued] = []

    def place(self, at: int = 0) -> "Place":
        job = self.jobs[at]
        return job.due, job.job_id, at, self


Place = tuple[float, str, int, Lane]  # due, job, its index in the lane, the lane


class Line:
    __slots__ = ("heads", "lanes", "owner", "priority", "queue", "shapes")

    def __init__(self, queue: str, owner: str, priority: int) -> None:
        self.queue, self.owner, self.priority = queue, owner, priority
        self.lanes: dict[tuple[Shape, float | None], Lane] = {}
        self.heads: list[Place] = []  # of every lane, in order
        self.shapes: Counter[Shape] = Counter()  # how many lanes have each


class Backlog:
    """Kept from plan to plan by whoever has many jobs."""

    def __init__(self, jobs: Iterable[Queued] = ()) -> None:
        self.lines: dict[tuple[str, str, int], Line] = {}
        self._shapes: WeakValueDictionary[tuple[object, ...], Shape] = WeakValueDictionary()
        for job in jobs:
            self._lane(job)[1].jobs.append(job)
        for line in self.lines.values():
            for lane in line.lanes.values():
                lane.jobs.sort(key=_order)
            line.heads = sorted(lane.place() for lane in line.lanes.values())

    @property
    def lanes(self) -> Iterator[list[Queued]]:
        return (lane.jobs for line in self.lines.values() for lane in line.lanes.values())

    def __iter__(self) -> Iterator[Queued]:
        return (job for lane in self.lanes for job in lane)

    def __len__(self) -> int:
        return sum(map(len, self.lanes))

    def add(self, job: Queued) -> None:
        line, lane = self._lane(job)
        self._leave(line, lane)
        insort(lane.jobs, job, key=_order)
        insort(line.heads, lane.place())

    def remove(self, job: Queued) -> None:
        line, lane = self._lane(job)
        self._leave(line, lane)
        del lane.jobs[bisect_left(lane.jobs, _order(job), key=_order)]
        if lane.jobs:
            insort(line.heads, lane.place())
            return
        del line.lanes[lane.shape, lane.longest]
        line.shapes -= Counter((lane.shape,))  # leaves none at zero
        if not line.lanes:
            del self.lines[line.queue, line.owner, line.priority]

    def _lane(self, job: Queued) -> tuple[Line, Lane]:
        key = (job.queue, job.owner, job.priority)
        line = self.lines.get(key) or self.lines.setdefault(key, Line(*key))
        shape = self._shapes.get(job.shape) or self._shapes.setdefault(job.shape, Shape(job))
        found = (shape, job.longest)
        if found not in line.lanes:
            line.lanes[found] = Lane(*found)
            line.shapes[shape] += 1
        return line, line.lanes[found]

    def _leave(self, line: Line, lane: Lane) -> None:
        if lane.jobs:
            del line.heads[bisect_left(line.heads, lane.place())]


def _order(job: Queued) -> tuple[float, str]:
    return job.due, job.job_id
