"""Who starts now, who is stopped for whom, and why the others wait. Pure: the same snapshot, the same plan.

The order of the line: queues within their guarantee, then priority, then the smaller share of recent use (of the
queue, then of the user), then the time of submission. Gangs are whole or not at all. The first that does not fit
gets a reservation; those behind it may start only where that delays it in nothing.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from orchestrator.scheduler import elastic, preemption, reasons
from orchestrator.scheduler.backfill import Backfill, Reservation, reserve
from orchestrator.scheduler.backlog import Backlog, Line
from orchestrator.scheduler.model import Amount, Held, Preempt, Queued, Snapshot, Start, Wait
from orchestrator.scheduler.quota import Ledger
from orchestrator.scheduler.rooms import Rooms, total

Decision = Start | Preempt | Wait


@dataclass(slots=True)
class Waiting:
    """The rest of a lane: nothing of it fits, for one reason."""

    jobs: list[Queued]
    reason: str
    is_for_room: bool  # not for its queue's quota, and not for a larger cluster


@dataclass(kw_only=True)
class Plan:
    starts: list[Start] = field(default_factory=list)
    stops: list[Preempt] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    reservation: Reservation | None = None  # of the first that waits for room

    @property
    def somebody_waits_for_room(self) -> bool:
        return any(each.is_for_room for each in self.waiting)

    def decisions(self) -> Iterator[Decision]:
        yield from self.starts
        yield from self.stops
        for each in self.waiting:
            yield from (Wait(job_id=job.job_id, reason=each.reason) for job in each.jobs)


def plan(snapshot: Snapshot) -> list[Decision]:
    """One decision for each queued job, and the stops."""
    return list(decide(snapshot).decisions())


def decide(snapshot: Snapshot) -> Plan:
    """The same, the waiting lane by lane: what a plan costs does not grow with the jobs in a lane."""
    return _Planner(snapshot).run()


Place = tuple[float, str, int, list[Queued]]  # submitted, job, its index in the lane, the lane


class _Line:
    """What is left of a user's line: lanes that may still start something, and lanes that have no room."""

    def __init__(self, line: Line, lanes: Iterable[list[Queued]], has_room: Callable[[Queued], bool]) -> None:
        self.queue, self.owner, self.priority = line
        self.open: list[Place] = []
        self.shut: list[Place] = []
        for lane in lanes:
            first = lane[0]
            (self.open if has_room(first) else self.shut).append((first.submitted, first.job_id, 0, lane))
        heapq.heapify(self.open)
        heapq.heapify(self.shut)
        self.key: tuple[object, Key] | None = None
        self.dropped: object = None  # what was known when its first was last looked at

    def drop(self, has_failed: Callable[[Queued], bool]) -> None:
        """Lanes whose turn has come and that are known to have no room do not stand in the way."""
        while self.open and has_failed(self.open[0][3][self.open[0][2]]):
            heapq.heappush(self.shut, heapq.heappop(self.open))

    def first(self, with_shut: bool) -> list[Place]:
        """The heap that holds the next in line; an empty one when there is none."""
        if not with_shut or not self.shut:
            return self.open
        return self.open if self.open and self.open[0] < self.shut[0] else self.shut


Key = tuple[bool, int, float, float, float, str]


class _Planner:
    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot, self.now, self.plan = snapshot, snapshot.now, Plan()
        self.free = Rooms(snapshot.nodes, snapshot.held)
        self.gpus = reasons.whole_gpus(snapshot.nodes)
        self.ledger = Ledger(snapshot.policy, snapshot.held, snapshot.usage, total(snapshot.nodes))
        self.held = list(snapshot.held)
        self.empty: Rooms | None = None
        self.backfill: Backfill | None = None
        self.roomy: dict[object, bool] = {}  # shape -> whether it had room at first
        self.failed: set[object] = set()  # shapes that have none any more: within a plan, room only shrinks
        self.amounts: dict[object, Amount] = {}
        self.shortages: dict[object, str | None] = {}
        self.room_reasons: dict[object, str] = {}
        self.said: dict[object, dict[object, tuple[str, bool]]] = {}  # queue and owner -> shape -> why it waits

    def run(self) -> Plan:
        queued = self.snapshot.queued
        backlog = queued if isinstance(queued, Backlog) else Backlog(queued)
        self.lines = [_Line(line, lanes.values(), self._has_room) for line, lanes in backlog.lines.items()]
        while (line := self._next()) is not None:
            heap = line.first(self.backfill is None)
            _, _, at, lane = heapq.heappop(heap)
            if heap is line.shut or not self._start(lane[at]):
                self._wait(line, lane[at:] if at else lane)
            elif at + 1 < len(lane):
                heapq.heappush(heap, (lane[at + 1].submitted, lane[at + 1].job_id, at + 1, lane))
        for line in sorted(self.lines, key=lambda line: (line.queue, line.owner, -line.priority)):
            for _, _, at, lane in sorted(line.shut):
                self._wait(line, lane[at:] if at else lane)
        if not self.plan.somebody_waits_for_room and not self.plan.starts:
            grown = elastic.growth(self.snapshot, self.free, self.ledger)
            self.plan.stops += [grown] if grown else []
        return self.plan

    def _next(self) -> _Line | None:
        """Whose turn it is. Each start changes the shares, so it is asked anew each time."""
        with_shut = self.backfill is None
        best, least = None, None
        for line in self.lines:
            known = (len(self.failed), self.backfill is None, line.open[0][1] if line.open else None)
            if line.dropped != known:
                line.drop(self._has_failed)
                line.dropped = (*known[:2], line.open[0][1] if line.open else None)
            if not (heap := line.first(with_shut)):
                continue
            key = self._key(line, heap[0])
            if least is None or key < least:
                best, least = line, key
        return best

    def _key(self, line: _Line, place: Place) -> Key:
        version = (self.ledger.version(line.queue), place[1])
        if line.key is None or line.key[0] != version:
            queue, user = self.ledger.share(line.queue, line.owner)
            is_under = self.ledger.is_under(line.queue)
            line.key = version, (not is_under, -line.priority, queue, user, place[0], place[1])
        return line.key[1]

    def _has_failed(self, job: Queued) -> bool:
        return (job.shape, self._is_gone_in_time(job)) in self.failed

    def _each(self, job: Queued, workers: int) -> Amount:
        return reasons.each_of(job, workers, self.gpus)

    def _least(self, job: Queued) -> Amount:
        """What the smallest gang that will do holds."""
        if job.shape not in self.amounts:
            self.amounts[job.shape] = self._each(job, job.sizes[-1]).times(job.sizes[-1])
        return self.amounts[job.shape]

    def _has_room(self, job: Queued) -> bool:
        """As the cluster is before the first start."""
        has_room = self.roomy.get(job.shape)
        if has_room is None:
            has_room = any(self.free.room(job, self._each(job, size)) >= size for size in job.sizes)
            self.roomy[job.shape] = has_room
        return has_room

    # --- starts

    def _start(self, job: Queued) -> bool:
        attempt = (job.shape, self._is_gone_in_time(job))
        is_refused = False
        for workers in job.sizes:
            each = self._each(job, workers)
            if self.ledger.refusal(job, each.times(workers)):
                is_refused = True
                continue
            placement = self._place(job, workers, each)
            if placement is not None:
                self._take(job, workers, each, placement)
                return True
        if not is_refused:
            self.failed.add(attempt)
        return False

    def _is_gone_in_time(self, job: Queued) -> bool | None:
        return self.backfill.is_gone(job, self.now) if self.backfill else None

    def _place(self, job: Queued, workers: int, each: Amount) -> dict[str, int] | None:
        if self.backfill:
            return self.backfill.place(job, workers, each, self.now)
        return self.free.place(job, workers, each)

    def _take(self, job: Queued, workers: int, each: Amount, placement: dict[str, int]) -> None:
        self.free.change(placement, each, -1)
        self.ledger.hold((job.queue, job.owner), each.times(workers))
        if self.backfill:
            self.backfill.take(job, placement, each, self.now)
        start = Start(
            job_id=job.job_id,
            workers=workers,
            cpus_per_worker=each.cpus,
            gpus_per_worker=each.gpus,
            memory_per_worker=each.memory,
            placement=placement,
        )
        self.plan.starts.append(start)
        ends = None if job.longest is None else self.now + job.longest
        self.held.append(
            Held(
                placement=placement,
                cpus_per_worker=each.cpus,
                gpus_per_worker=each.gpus,
                memory_per_worker=each.memory,
                job_id=job.job_id,
                name=job.name,
                queue=job.queue,
                owner=job.owner,
                priority=job.priority,
                started=self.now,
                ends=ends,
                is_stopping=False,
            )
        )

    # --- waits

    def _wait(self, line: _Line, jobs: list[Queued]) -> None:
        job = jobs[0]
        said = self.said.setdefault((line.queue, line.owner), {})
        shape = job.shape
        found = said.get(shape)
        if found is None:
            found = said[shape] = self._reason(job)
        reason, is_for_room = found
        if not is_for_room or self.backfill:
            self.plan.waiting.append(Waiting(jobs, self._behind(reason, is_for_room), is_for_room))
            return
        first = reason + self._reserve(job)
        self.plan.waiting.append(Waiting(jobs[:1], first, True))
        if jobs[1:]:
            self.plan.waiting.append(Waiting(jobs[1:], self._behind(reason, True), True))

    def _behind(self, reason: str, is_for_room: bool) -> str:
        return f"{reason}; behind job {self.backfill.reservation.job.name}" if is_for_room and self.backfill else reason

    def _reason(self, job: Queued) -> tuple[str, bool]:
        missing = self._shortage(job) or self.ledger.refusal(job, self._least(job))
        if missing:
            return missing, False
        if job.shape not in self.room_reasons:
            self.room_reasons[job.shape] = reasons.waiting(job, self._each(job, job.sizes[-1]), self.free)
        return self.room_reasons[job.shape], True

    def _shortage(self, job: Queued) -> str | None:
        if job.shape not in self.shortages:
            self.shortages[job.shape] = reasons.shortage(job, self.snapshot.nodes, self._empty())
        return self.shortages[job.shape]

    def _empty(self) -> Rooms:
        if self.empty is None:
            self.empty = Rooms(self.snapshot.nodes)
        return self.empty

    def _reserve(self, job: Queued) -> str:
        """The reservation of the first that has no room, and whom it is made for; what to add to its reason."""
        workers = job.sizes[-1]
        each = self._each(job, workers)
        snapshot = self.snapshot
        chosen = preemption.victims(
            job, workers, each, self.free, snapshot.held, self.ledger, snapshot.policy, self.now
        )
        for victim in chosen:
            verb = "shrinks" if victim.keeps else "makes room"
            reason = f"{verb} for job {job.name} of priority {job.priority}"
            self.plan.stops.append(Preempt(job_id=victim.gang.job_id, reason=reason, kind=victim.kind))
        stopped = {victim.gang.job_id for victim in chosen}
        held = [replace(gang, is_stopping=True) if gang.job_id in stopped else gang for gang in self.held]
        self.plan.reservation = reserve(job, workers, each, self.free, held, self.now)
        self.backfill = Backfill(self.free, self.plan.reservation)
        names = ", ".join(victim.gang.name for victim in chosen)
        return f"; {names} stops for it" if names else ""
