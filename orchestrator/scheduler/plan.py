"""Who starts now, who is stopped for whom, and why the others wait. Pure: the same snapshot, the same plan.

Everybody is looked at in the queue order of order.py. Gangs are whole or not at all. The first that does not fit gets a
reservation, and the first that waits for quota a promise of it; those behind may start only where that delays them
in nothing. Whoever waits may have less important ones stopped for it.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import neg

from orchestrator.scheduler import elastic, reasons
from orchestrator.scheduler.backfill import Backfill, Promise, Reservation, by_end, promise_of_quota, reserve
from orchestrator.scheduler.backlog import Backlog, EquivalenceClass, Shape, UserQueue
from orchestrator.scheduler.capacity import Capacity, total
from orchestrator.scheduler.model import Amount, Held, Preempt, Queued, Snapshot, Start, Wait
from orchestrator.scheduler.order import QueueOrder, View
from orchestrator.scheduler.preemption import Preemption, Victim
from orchestrator.scheduler.quota import Ledger

Decision = Start | Preempt | Wait


@dataclass(slots=True)
class Waiting:
    """The rest of an equivalence class: nothing of it fits, for one reason."""

    jobs: list[Queued]
    reason: str
    is_for_room: bool  # not for its queue's quota, and not for a larger cluster


@dataclass(kw_only=True)
class Plan:
    starts: list[Start] = field(default_factory=list)
    stops: list[Preempt] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    reservation: Reservation | None = None  # of the first that waits for room
    ahead: list[str] = field(default_factory=list)  # jobs that got their places before it, in that order
    set_aside: list[Held] = field(default_factory=list)  # places of those that wait for others to be gone

    @property
    def somebody_waits_for_room(self) -> bool:
        return any(each.is_for_room for each in self.waiting)

    def decisions(self) -> Iterator[Decision]:
        yield from self.starts
        yield from self.stops
        for each in self.waiting:
            yield from (Wait(job_id=job.job_id, reason=each.reason) for job in each.jobs)


def plan(snapshot: Snapshot) -> list[Decision]:
    """Return one decision for each queued job, and the stops."""
    return list(decide(snapshot).decisions())


def decide(snapshot: Snapshot, backlog: Backlog | None = None) -> Plan:
    """Return the same, the waiting class by class: what a plan costs does not grow with the jobs in a class.

    `backlog`: the queued jobs in the order that their owner keeps from plan to plan, instead of `snapshot.queued`.
    """
    return _Planner(snapshot, Backlog(snapshot.queued) if backlog is None else backlog).run()


class _Planner:
    def __init__(self, snapshot: Snapshot, backlog: Backlog) -> None:
        self.backlog = backlog  # read, never changed
        self.snapshot, self.now, self.plan = snapshot, snapshot.now, Plan()
        self.gpus = reasons.whole_gpus(snapshot.nodes)
        self.free = Capacity(snapshot.nodes, snapshot.held)
        self.ledger = Ledger(snapshot.policy, snapshot.held, snapshot.usage, total(snapshot.nodes))
        # The same once all that stops is gone, less what is promised meanwhile.
        self.future_free, self.future_ledger = self.free.copy(), self.ledger.copy()
        for gang in snapshot.held:
            if gang.is_stopping:
                self.future_free.change(gang.placement, gang.each, +1)
                self.future_ledger.release((gang.queue, gang.owner), gang.amount)
        self.running = {gang.job_id: gang for gang in snapshot.held if not gang.is_stopping}
        self.preemption = Preemption(snapshot.held, snapshot.policy, self.ledger, self.now)
        self.reasons = reasons.Reasons(snapshot.nodes, self.gpus, self.ledger, self.free)
        self.placed: list[Held] = []  # those that start, and those whose places are set aside
        self.backfill: Backfill | None = None
        self.promises: dict[tuple[str, str], list[Promise]] = {}  # by queue, and by owner in it where it is his limit
        self.full: set[Shape] = set()  # without any room: within a plan, it only shrinks
        self.known: set[Shape] = set()  # whether they are full was looked at
        self.narrow: set[Shape] = set()  # without room beside the reservation

    def run(self) -> Plan:
        order = QueueOrder(self.backlog, self.ledger, self._skip, self._shut)
        while (first := order.next()) is not None:
            view, (_, _, at, equals) = first
            if not self._start(equals, at):
                self._wait(view.user_queue, equals, at)
            elif at + 1 < len(equals.jobs):
                view.push(equals.place(at + 1))
        if not self.plan.somebody_waits_for_room and not self.plan.starts:
            grown = elastic.growth(self.snapshot, self.free, self.ledger)
            self.plan.stops += [grown] if grown else []
        return self.plan

    def _skip(self, user_queue: UserQueue, equals: EquivalenceClass, at: int) -> bool:
        """Pass over, once there is a reservation, those for whom there is neither room nor anybody to stop."""
        shape = equals.shape
        if self.backfill is None or (shape not in self.full and self._has_room(equals)):
            return False
        if self.preemption.tries and self.preemption.may_help(user_queue, shape):
            return False
        self._say(equals, at, *self.reasons.of(user_queue, equals.jobs[at], shape))
        return True

    def _shut(self, view: View) -> bool:
        """Do the same for all of a user queue at once, which is the rule on a full cluster."""
        user_queue, head = view.user_queue, self.plan.reservation
        if head is None or self.preemption.reaches(user_queue):
            return False
        for shape in user_queue.shapes.keys() - self.known:
            self._learn(shape)
        if not user_queue.shapes.keys() <= self.full:
            return False
        said = {}
        for _, _, at, equals in view.take_all():
            if equals.shape not in said:
                reason, is_for_room = self.reasons.of(user_queue, equals.jobs[at], equals.shape)
                said[equals.shape] = (f"{reason}; behind job {head.job.name}" if is_for_room else reason), is_for_room
            self.plan.waiting.append(Waiting(equals.jobs[at:], *said[equals.shape]))
        return True

    def _learn(self, shape: Shape) -> None:
        """Learn whether there is any room for it, reserved or not."""
        self.known.add(shape)
        if next(self._sizes(shape.job), None) is None:
            self.full.add(shape)

    def _sizes(self, job: Queued) -> Iterator[tuple[int, Amount]]:
        """Return the sizes for which there is room, and what each worker then holds, the largest first.

        What a worker holds changes with the size at most once (with `auto`, beyond the cluster's GPUs): as many looks at
        the room, and then no more sizes than the cluster has room for, whatever the spec allows.
        """
        for sizes in reasons.alike(job, self.gpus):
            each = reasons.each_of(job, sizes[0], self.gpus)
            room = self.free.room(job, each)
            for size in sizes[bisect_left(sizes, -room, key=neg) :]:
                yield size, each

    # --- starts

    def _start(self, equals: EquivalenceClass, at: int) -> bool:
        if not self._has_room(equals):
            return False
        job, is_refused = equals.jobs[at], False
        for workers, each in self._sizes(job):
            if self._refusal(job, each.times(workers)):
                is_refused = True
                continue
            placement = self._place(job, workers, each)
            if placement is not None:
                self._take(job, workers, each, placement)
                return True
        if not is_refused:
            (self.full if self._is_gone(equals) else self.narrow).add(equals.shape)
        return False

    def _has_room(self, equals: EquivalenceClass) -> bool:
        """Return whether there is room, as far as is known."""
        return equals.shape not in self.full and (self._is_gone(equals) or equals.shape not in self.narrow)

    def _is_gone(self, equals: EquivalenceClass) -> bool:
        """Return whether it need not respect the reservation."""
        return self.backfill is None or self.backfill.is_gone(equals.longest, self.now)

    def _refusal(self, job: Queued, more: Amount) -> str | None:
        return self.ledger.refusal(job, more) or self._is_promised(job, more)

    def _is_promised(self, job: Queued, more: Amount) -> str | None:
        for promise in self._promises(job):
            if refusal := promise.refusal(job, more, self.now):
                return refusal
        return None

    def _promises(self, job: Queued) -> Sequence[Promise]:
        if not self.promises:
            return ()
        return [*self.promises.get((job.queue, ""), ()), *self.promises.get((job.queue, job.owner), ())]

    def _place(self, job: Queued, workers: int, each: Amount) -> dict[str, int] | None:
        if self.backfill:
            return self.backfill.place(job, workers, each, self.now)
        return self.free.place(job, workers, each)

    def _take(self, job: Queued, workers: int, each: Amount, placement: dict[str, int]) -> None:
        needs, who = each.times(workers), (job.queue, job.owner)
        self.free.change(placement, each, -1)
        self.future_free.change(placement, each, -1)
        self.ledger.hold(who, needs)
        self.future_ledger.hold(who, needs)
        if self.backfill:
            self.backfill.take(job, placement, each, self.now)
        for promise in self._promises(job):
            promise.take(job, needs, self.now)
        self._hold(job, each, placement)
        self.plan.starts.append(
            Start(
                job_id=job.job_id,
                workers=workers,
                cpus_per_worker=each.cpus,
                gpus_per_worker=each.gpus,
                memory_per_worker=each.memory,
                placement=placement,
            )
        )

    def _hold(self, job: Queued, each: Amount, placement: dict[str, int]) -> Held:
        gang = _gang(job, each, placement, self.now)
        self.running[job.job_id] = gang
        self.placed.append(gang)
        return gang

    # --- waits

    def _wait(self, user_queue: UserQueue, equals: EquivalenceClass, at: int) -> None:
        job = equals.jobs[at]
        reason, is_for_room = self.reasons.of(user_queue, job, equals.shape)
        if is_for_room and (promised := self._is_promised(job, self._least(job)[2])):
            reason, is_for_room = promised, False
        added = (
            self._provide(user_queue, equals, at, is_for_room) if self.reasons.is_possible(job, equals.shape) else ""
        )
        if not added:
            self._say(equals, at, reason, is_for_room)
            return
        self.plan.waiting.append(Waiting([job], reason + added, is_for_room))
        if at + 1 < len(equals.jobs):
            self._say(equals, at + 1, reason, is_for_room)

    def _say(self, equals: EquivalenceClass, at: int, reason: str, is_for_room: bool) -> None:
        head = self.plan.reservation
        if is_for_room and head and head.job is not equals.jobs[at]:
            reason = f"{reason}; behind job {head.job.name}"
        self.plan.waiting.append(Waiting(equals.jobs[at:], reason, is_for_room))

    def _least(self, job: Queued) -> tuple[int, Amount, Amount]:
        """Return the smallest gang that will do: its workers, each, and all together."""
        workers = job.sizes[-1]
        each = reasons.each_of(job, workers, self.gpus)
        return workers, each, each.times(workers)

    def _provide(self, user_queue: UserQueue, equals: EquivalenceClass, at: int, is_for_room: bool) -> str:
        """Set room aside for one that waits; return what to add to its reason."""
        job = equals.jobs[at]
        workers, each, needs = self._least(job)
        chosen = self._victims(user_queue, equals, job, workers, each)
        for victim in chosen or ():
            self._stop(victim, job)
        if is_for_room and self.backfill is None:
            self._reserve(job, workers, each)
        elif chosen is not None:
            self._set_aside(job, workers, each)
        elif not is_for_room:
            self._promise_quota(job, needs)
        names = ", ".join(victim.gang.name for victim in chosen or ())
        return f"; {names} stops for it" if names else ""

    def _victims(
        self, user_queue: UserQueue, equals: EquivalenceClass, job: Queued, workers: int, each: Amount
    ) -> list[Victim] | None:
        if self._is_promised(job, each.times(workers)) or not self.preemption.may_help(user_queue, equals.shape):
            return None
        closed = self.plan.reservation.placement if self.plan.reservation else {}
        return self.preemption.victims(
            user_queue, equals.shape, job, workers, each, self.future_free, self.future_ledger, closed
        )

    def _stop(self, victim: Victim, job: Queued) -> None:
        gang = self.running.pop(victim.gang.job_id)
        closed = self.plan.reservation.placement if self.plan.reservation else {}
        open_ = {node: workers for node, workers in gang.placement.items() if node not in closed}
        self.future_free.change(open_, gang.each, +1)
        self.future_ledger.release((gang.queue, gang.owner), gang.amount)
        verb = "shrinks" if victim.keeps else "makes room"
        reason = f"{verb} for job {job.name} of priority {job.priority}"
        self.plan.stops.append(Preempt(job_id=gang.job_id, reason=reason, kind=victim.kind, sake=job.job_id))

    def _reserve(self, job: Queued, workers: int, each: Amount) -> None:
        ends = by_end(self.running.values(), self.now)
        head = reserve(job, workers, each, self.future_free, self.future_ledger, ends, self.now)
        self.plan.reservation = head
        self.plan.ahead = [gang.job_id for gang in self.placed]
        self.backfill = Backfill(self.free, head)
        for node, spare in head.spare.items():
            self.future_free.set(node, Amount(*map(min, self.future_free.free[node], spare)))
        self.future_ledger.hold((job.queue, job.owner), each.times(workers))
        self.promises.setdefault((job.queue, ""), []).append(head.promise)

    def _set_aside(self, job: Queued, workers: int, each: Amount) -> None:
        """Set aside its places, part of which others still hold. It starts when they are gone."""
        placement = self.future_free.place(job, workers, each)
        assert placement is not None, "its room was counted"
        self.future_free.change(placement, each, -1)
        self.future_ledger.hold((job.queue, job.owner), each.times(workers))
        for node in placement:
            self.free.set(node, Amount(*map(min, self.free.free[node], self.future_free.free[node])))
        if self.backfill:
            self.backfill.set_aside(placement, each)
        self.plan.set_aside.append(self._hold(job, each, placement))
        promise = Promise(job=job, at=self.now, ledger=self.future_ledger.copy())
        self.promises.setdefault((job.queue, ""), []).append(promise)

    def _promise_quota(self, job: Queued, needs: Amount) -> None:
        """Promise it to the first that waits for it, of the queue or of one user's part in it."""
        key = (job.queue, "" if self.ledger.queue_refusal(job.queue, needs) else job.owner)
        if key in self.promises:
            return
        ends = by_end(self.running.values(), self.now)
        if promise := promise_of_quota(job, needs, self.future_ledger, ends, self.now):
            self.promises[key] = [promise]


def _gang(job: Queued, each: Amount, placement: dict[str, int], now: float) -> Held:
    return Held(
        placement=placement,
        cpus_per_worker=each.cpus,
        gpus_per_worker=each.gpus,
        memory_per_worker=each.memory,
        job_id=job.job_id,
        name=job.name,
        queue=job.queue,
        owner=job.owner,
        priority=job.priority,
        started=now,
        ends=None if job.longest is None else now + job.longest,
        is_stopping=False,
    )
