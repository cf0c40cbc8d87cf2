"""Whom to stop so that a more important job starts: as few and as cheap as will do, or nobody."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from orchestrator.scheduler.backlog import Shape, UserQueue
from orchestrator.scheduler.capacity import Capacity, fits, takes
from orchestrator.scheduler.model import Amount, Held, Policy, Queued
from orchestrator.scheduler.quota import Ledger

MOST_DOUBLED = 6  # times that its protection is doubled
TRIES = 8  # jobs of one plan for which victims are looked for: the next plan comes soon


@dataclass(frozen=True)
class Victim:
    gang: Held
    keeps: int  # workers that may stay when it starts again; 0: none

    @property
    def kind(self) -> Literal["preempt", "shrink"]:
        return "shrink" if self.keeps else "preempt"

    @property
    def freed(self) -> dict[str, int]:
        """Return node -> workers that leave it once it has come back smaller."""
        left, freed = self.gang.workers - self.keeps, {}
        for node, workers in sorted(self.gang.placement.items(), key=lambda item: (item[1], item[0])):
            freed[node] = min(workers, left)
            left -= freed[node]
        return freed


class Preemption:
    """Who can be stopped for whom, within one plan."""

    def __init__(self, held: Iterable[Held], policy: Policy, ledger: Ledger, now: float) -> None:
        self.policy, self.now = policy, now
        self.among = _stoppable(held, policy, now)  # the cheapest first
        self.least = self.among[0].priority if self.among else 1 << 30
        self.tries = TRIES
        self._failed: set[object] = set()
        queues = {gang.queue for gang in self.among}
        borrowers = {queue for queue in queues if ledger.is_borrowing(queue)}
        self._reclaiming = {queue for queue in policy.queues if ledger.is_under(queue)} if borrowers else set()

    def reaches(self, user_queue: UserQueue) -> bool:
        return self.tries > 0 and (user_queue.priority > self.least or user_queue.queue in self._reclaiming)

    def may_help(self, user_queue: UserQueue, shape: Shape) -> bool:
        """Return whether it may help, as far as is known."""
        return (
            self.reaches(user_queue)
            and (user_queue.queue, user_queue.owner, user_queue.priority, shape) not in self._failed
        )

    def victims(
        self,
        user_queue: UserQueue,
        shape: Shape,
        job: Queued,
        workers: int,
        each: Amount,
        future_free: Capacity,
        ledger: Ledger,
        closed: Collection[str],
    ) -> list[Victim] | None:
        """Choose whom to stop: nobody when what stops already is enough; None when no stop would let it start.

        `future_free` and `ledger`: what is free and held once all that stops is gone, less what others were promised.
        `closed`: nodes on which no further room is to be made.
        """
        self.tries -= 1
        chosen = _victims(_Without(job, workers, each, future_free, ledger, closed), self.among)
        if chosen is None:
            self._failed.add((user_queue.queue, user_queue.owner, user_queue.priority, shape))
            return None
        stopped = {victim.gang.job_id for victim in chosen}
        self.among = [gang for gang in self.among if gang.job_id not in stopped] if stopped else self.among
        return chosen


def _stoppable(held: Iterable[Held], policy: Policy, now: float) -> list[Held]:
    """Leave alone what stops already, or has just started: the longer, the oftener it was stopped."""
    if not policy.preemption:
        return []
    return sorted((gang for gang in held if not gang.is_stopping and now >= protected_until(gang, policy)), key=_cost)


def protected_until(gang: Held, policy: Policy) -> float:
    return gang.started + policy.protected * 2 ** min(gang.stopped, MOST_DOUBLED)


def _cost(gang: Held) -> tuple[int, float, float, float, str]:
    """Put the least important first, then the smallest, then the youngest: a stop costs its whole gang a restart."""
    return gang.priority, gang.amount.gpus, gang.amount.cpus, -gang.started, gang.job_id


class _Without:
    """The cluster and the ledger without some gangs."""

    def __init__(
        self, job: Queued, workers: int, each: Amount, future_free: Capacity, ledger: Ledger, closed: Collection[str]
    ) -> None:
        self.job, self.workers, self.each, self.closed = job, workers, each, closed
        self.free, self.kinds, self.ledger = dict(future_free.free), future_free.kinds, ledger.copy()
        self.room = future_free.room(job, each)

    def serves(self) -> bool:
        return self.room >= self.workers and not self.is_refused()

    def is_refused(self) -> bool:
        return self.ledger.refusal(self.job, self.each.times(self.workers)) is not None

    def change(self, victim: Victim, sign: int) -> None:
        """Stop it (+1), or leave it alone after all (-1)."""
        gang = victim.gang
        for node, workers in victim.freed.items():
            if node in self.free and node not in self.closed:
                before = self.free[node]
                after = self.free[node] = before.plus(gang.each, sign * workers)
                if takes(self.kinds[node], self.job):
                    self.room += fits(after, self.each) - fits(before, self.each)
        amount = gang.each.times(sign * (gang.workers - victim.keeps))
        self.ledger.release((gang.queue, gang.owner), amount, sign * (not victim.keeps))

    def may_stop(self, gang: Held) -> bool:
        """Allow lower priority; or what other queues borrowed, when the job's own queue is within its guarantee.
        Another queue's guarantee holds against any priority."""
        policy = self.ledger.queue(gang.queue)
        if gang.queue == self.job.queue or (policy.gpus is None and policy.cpus is None):
            return gang.priority < self.job.priority
        if not self.ledger.is_borrowing(gang.queue):
            return False
        needs = self.each.times(self.workers)
        return gang.priority < self.job.priority or self.ledger.is_entitled(self.job.queue, needs)


def _victims(without: _Without, among: Sequence[Held]) -> list[Victim] | None:
    """Choose those that are the least important, then those that are fewest: every stop costs a restart."""
    if without.serves():
        return []
    is_refused = without.is_refused()
    order = sorted(among, key=lambda gang: gang.queue != without.job.queue) if is_refused else among
    shrinking = [Victim(gang, gang.sizes[-1]) for gang in order if gang.sizes and gang.workers > gang.sizes[-1]]
    if chosen := _enough(without, shrinking):
        return chosen
    large = sorted(
        order, key=lambda gang: (is_refused and gang.queue != without.job.queue, gang.priority, -gang.workers)
    )
    found = [_one(without, order), _enough(without, [Victim(gang, 0) for gang in large])]
    return min(
        filter(None, found), key=lambda chosen: (max(v.gang.priority for v in chosen), len(chosen)), default=None
    )


def _one(without: _Without, order: Iterable[Held]) -> list[Victim]:
    """Return the first that is enough alone."""
    for gang in order:
        if without.may_stop(gang):
            victim = Victim(gang, 0)
            without.change(victim, +1)
            serves = without.serves()
            without.change(victim, -1)
            if serves:
                return [victim]
    return []


def _enough(without: _Without, order: Iterable[Victim]) -> list[Victim]:
    """Take the first that make room together, less those that were not needed for it; nobody if all are too few."""
    chosen: list[Victim] = []
    for victim in order:
        if without.serves():
            break
        if without.may_stop(victim.gang):
            without.change(victim, +1)
            chosen.append(victim)
    is_enough = without.serves()
    for victim in chosen[::-1]:
        without.change(victim, -1)
        if is_enough and not without.serves():
            without.change(victim, +1)
        else:
            chosen.remove(victim)
    return chosen
