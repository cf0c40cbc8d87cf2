"""The queue order: queues within their guarantee first, then priority, then the smaller share of recent use (of the
queue, then of the user), then the time by which it is due: submission, and what little it asks for (`Queued.due`).

Within a plan shares only grow and user queues only shorten, so a user queue's key only rises: it is reckoned again
when it comes to the top, and not for every user queue after every start.
"""

import heapq
from collections.abc import Callable

from orchestrator.scheduler.backlog import Backlog, EquivalenceClass, Place, UserQueue
from orchestrator.scheduler.quota import Ledger

Skip = Callable[[UserQueue, EquivalenceClass, int], bool]  # whether a class is known to have nothing that can start
Shut = Callable[["View"], bool]  # whether the whole user queue is; it is then done with


class View:
    """What is left of a user queue in this plan."""

    __slots__ = ("n", "rest", "user_queue")

    def __init__(self, user_queue: UserQueue) -> None:
        self.user_queue = user_queue
        self.n = 0  # classes whose first had its turn
        self.rest: list[Place] = []  # heap of those that started something

    def first(self) -> Place | None:
        head = self.user_queue.heads[self.n] if self.n < len(self.user_queue.heads) else None
        if not self.rest:
            return head
        return self.rest[0] if head is None or self.rest[0] < head else head

    def pop(self) -> None:
        if self.rest and self.first() is self.rest[0]:
            heapq.heappop(self.rest)
        else:
            self.n += 1

    def take_all(self) -> list[Place]:
        places = self.user_queue.heads[self.n :] + self.rest
        self.n, self.rest = len(self.user_queue.heads), []
        return places

    def push(self, place: Place) -> None:
        heapq.heappush(self.rest, place)


Entry = tuple[float, float, str, int, View]  # the user's share, due, job, a tie-break that is never reached


class QueueOrder:
    def __init__(self, backlog: Backlog, ledger: Ledger, skip: Skip, shut: Shut) -> None:
        self.ledger, self.skip, self.shut = ledger, skip, shut
        self.heaps: dict[tuple[str, int], list[Entry]] = {}
        for _, user_queue in sorted(backlog.user_queues.items()):
            self.heaps.setdefault((user_queue.queue, user_queue.priority), []).append(
                self._entry(View(user_queue), user_queue.heads[0])
            )
        for heap in self.heaps.values():
            heapq.heapify(heap)

    def next(self) -> tuple[View, Place] | None:
        """Return the next job by its place, taken off its user queue."""
        best, least = None, None
        for (queue, priority), heap in self.heaps.items():
            top = self._top(heap)
            if top is None:
                continue
            key = (*self._rank(queue, priority), *top[:3])
            if least is None or key < least:
                best, least = top[-1], key
        if best is None:
            return None
        place = best.first()
        assert place is not None
        best.pop()
        return best, place

    def _rank(self, queue: str, priority: int) -> tuple[bool, int, float]:
        return not self.ledger.is_under(queue), -priority, self.ledger.queue_share(queue)

    def _top(self, heap: list[Entry]) -> Entry | None:
        while heap:
            view = heap[0][-1]
            place = self._first(view)
            if place is None:
                heapq.heappop(heap)
                continue
            entry = self._entry(view, place)
            if entry[:3] == heap[0][:3]:
                return entry
            heapq.heapreplace(heap, entry)
        return None

    def _first(self, view: View) -> Place | None:
        """Return the first place; classes that are known to have no room do not stand in the way."""
        if self.shut(view):
            return None
        while (place := view.first()) is not None and self.skip(view.user_queue, place[3], place[2]):
            view.pop()
        return place

    def _entry(self, view: View, place: Place) -> Entry:
        return (
            self.ledger.user_share((view.user_queue.queue, view.user_queue.owner)),
            place[0],
            place[1],
            id(view),
            view,
        )
