"""The queue by user queues and equivalence classes. A user queue holds a user's jobs of one priority in one queue; an
equivalence class of it those that differ in nothing but their time of submission, in that order (`Queued.due`: within
a class that is the same).

If the first of a class does not fit, none behind it does: a plan looks at classes, not at a hundred thousand jobs. And
it looks at the firsts of the classes in order, which are kept here from plan to plan.
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


class EquivalenceClass:
    __slots__ = ("jobs", "longest", "shape")

    def __init__(self, shape: Shape, longest: float | None) -> None:
        self.shape, self.longest = shape, longest
        self.jobs: list[Queued] = []

    def place(self, at: int = 0) -> "Place":
        job = self.jobs[at]
        return job.due, job.job_id, at, self


Place = tuple[float, str, int, EquivalenceClass]  # due, job, its index in the class, the class


class UserQueue:
    __slots__ = ("classes", "heads", "owner", "priority", "queue", "shapes")

    def __init__(self, queue: str, owner: str, priority: int) -> None:
        self.queue, self.owner, self.priority = queue, owner, priority
        self.classes: dict[tuple[Shape, float | None], EquivalenceClass] = {}
        self.heads: list[Place] = []  # of every class, in order
        self.shapes: Counter[Shape] = Counter()  # how many classes have each


class Backlog:
    """Kept from plan to plan by whoever has many jobs."""

    def __init__(self, jobs: Iterable[Queued] = ()) -> None:
        self.user_queues: dict[tuple[str, str, int], UserQueue] = {}
        self._shapes: WeakValueDictionary[tuple[object, ...], Shape] = WeakValueDictionary()
        for job in jobs:
            self._class_of(job)[1].jobs.append(job)
        for user_queue in self.user_queues.values():
            for equals in user_queue.classes.values():
                equals.jobs.sort(key=_order)
            user_queue.heads = sorted(equals.place() for equals in user_queue.classes.values())

    @property
    def classes(self) -> Iterator[list[Queued]]:
        return (equals.jobs for user_queue in self.user_queues.values() for equals in user_queue.classes.values())

    def __iter__(self) -> Iterator[Queued]:
        return (job for equals in self.classes for job in equals)

    def __len__(self) -> int:
        return sum(map(len, self.classes))

    def add(self, job: Queued) -> None:
        user_queue, equals = self._class_of(job)
        self._leave(user_queue, equals)
        insort(equals.jobs, job, key=_order)
        insort(user_queue.heads, equals.place())

    def remove(self, job: Queued) -> None:
        user_queue, equals = self._class_of(job)
        self._leave(user_queue, equals)
        del equals.jobs[bisect_left(equals.jobs, _order(job), key=_order)]
        if equals.jobs:
            insort(user_queue.heads, equals.place())
            return
        del user_queue.classes[equals.shape, equals.longest]
        user_queue.shapes -= Counter((equals.shape,))  # leaves none at zero
        if not user_queue.classes:
            del self.user_queues[user_queue.queue, user_queue.owner, user_queue.priority]

    def _class_of(self, job: Queued) -> tuple[UserQueue, EquivalenceClass]:
        key = (job.queue, job.owner, job.priority)
        user_queue = self.user_queues.get(key) or self.user_queues.setdefault(key, UserQueue(*key))
        shape = self._shapes.get(job.shape) or self._shapes.setdefault(job.shape, Shape(job))
        found = (shape, job.longest)
        if found not in user_queue.classes:
            user_queue.classes[found] = EquivalenceClass(*found)
            user_queue.shapes[shape] += 1
        return user_queue, user_queue.classes[found]

    def _leave(self, user_queue: UserQueue, equals: EquivalenceClass) -> None:
        if equals.jobs:
            del user_queue.heads[bisect_left(user_queue.heads, equals.place())]


def _order(job: Queued) -> tuple[float, str]:
    return job.due, job.job_id
