"""What is promised to those who wait, and what others may use meanwhile.

The first that does not fit is promised its places for the moment when they are free at the latest, and what it needs
of its queue's quota with them. So is the first that waits for quota, as to quota. Another job may start before them
only where it leaves that alone, or is sure to be gone by then.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

from orchestrator.scheduler.capacity import Capacity, fits, takes
from orchestrator.scheduler.model import Amount, Held, Queued
from orchestrator.scheduler.quota import Ledger


def is_gone(longest: float | None, at: float, now: float) -> bool:
    """Return whether a job that starts now is sure to be over by then."""
    return longest is not None and at < inf and now + longest <= at


@dataclass(frozen=True, kw_only=True)
class Promise:
    """Of quota."""

    job: Queued
    at: float  # inf: nobody knows when
    ledger: Ledger  # what is held at that moment, the job's own part included

    def refusal(self, other: Queued, more: Amount, now: float) -> str | None:
        if is_gone(other.longest, self.at, now) or not self.ledger.refusal(other, more):
            return None
        return f"waiting for quota in queue {other.queue} behind job {self.job.name}"

    def take(self, other: Queued, more: Amount, now: float) -> None:
        if not is_gone(other.longest, self.at, now):
            self.ledger.hold((other.queue, other.owner), more)


@dataclass(kw_only=True)
class Reservation:
    job: Queued
    at: float  # inf: nobody knows
    placement: dict[str, int]
    spare: dict[str, Amount]  # node -> what the reservation leaves of it at that moment
    promise: Promise


def by_end(held: Iterable[Held], now: float) -> list[Held]:
    """Sort by when they are over at the latest."""
    return sorted(held, key=lambda gang: (end(gang, now), gang.started, gang.job_id))


def end(gang: Held, now: float) -> float:
    return inf if gang.ends is None else max(gang.ends, now)


def reserve(
    job: Queued, workers: int, each: Amount, future_free: Capacity, ledger: Ledger, ends: Iterable[Held], now: float
) -> Reservation:
    """Find the earliest moment at which the whole gang fits, taking every attempt to run as long as it may.

    `future_free` and `ledger`: what is free and held once all that stops is gone. `ends`: the others, in order of their end.
    """
    then, quota = dict(future_free.free), ledger.copy()
    at, room = now, future_free.room(job, each)
    good = {node for node, kind in future_free.kinds.items() if takes(kind, job)}
    for gang in ends:
        if room >= workers:
            break
        at = end(gang, now)
        quota.release((gang.queue, gang.owner), gang.amount)
        for node, count in gang.placement.items():
            if node in then:
                before, then[node] = then[node], then[node].plus(gang.each, count)
                room += (fits(then[node], each) - fits(before, each)) if node in good else 0
    capacity = future_free.at(then)
    placement = capacity.place(job, workers, each) or {}
    spare = {node: capacity.free[node].plus(each, -count) for node, count in placement.items()}
    promise = _promise(job, each.times(workers), quota, at)
    return Reservation(job=job, at=at, placement=placement, spare=spare, promise=promise)


def _promise(job: Queued, needs: Amount, ledger: Ledger, at: float) -> Promise:
    ledger.hold((job.queue, job.owner), needs)
    return Promise(job=job, at=at, ledger=ledger)


def promise_of_quota(job: Queued, needs: Amount, ledger: Ledger, ends: Iterable[Held], now: float) -> Promise | None:
    """Find the earliest moment at which its queue may have so much more; None when there is no such moment."""
    quota, at = ledger.copy(), now
    for gang in ends:
        if quota.refusal(job, needs) is None:
            break
        if gang.queue == job.queue:
            at = end(gang, now)
            quota.release((gang.queue, gang.owner), gang.amount)
    return None if quota.refusal(job, needs) else _promise(job, needs, quota, at)


class Backfill:
    """Room for those behind the reservation: less on the reserved nodes, unless they are gone in time."""

    def __init__(self, free: Capacity, reservation: Reservation) -> None:
        self.free, self.reservation = free, reservation
        self.narrow = free.copy()
        for node in reservation.placement:
            self.follow(node)

    def follow(self, node: str) -> None:
        """Follow a change of what is free there."""
        free, spare = self.free.free[node], self.reservation.spare.get(node)
        self.narrow.set(node, free if spare is None else Amount(*map(min, free, spare)))

    def place(self, job: Queued, workers: int, each: Amount, now: float) -> dict[str, int] | None:
        return (self.free if self.is_gone(job.longest, now) else self.narrow).place(job, workers, each)

    def take(self, job: Queued, placement: dict[str, int], each: Amount, now: float) -> None:
        """Take it of what is spare, too: of `free` it has been taken already."""
        spare = self.reservation.spare
        for node, workers in placement.items():
            if node in spare and not self.is_gone(job.longest, now):
                spare[node] = spare[node].plus(each, -workers)
            self.follow(node)

    def set_aside(self, placement: dict[str, int], each: Amount) -> None:
        """Set places aside for one that does not start yet: as if it would never end."""
        spare = self.reservation.spare
        for node, workers in placement.items():
            if node in spare:
                spare[node] = spare[node].plus(each, -workers)
            self.follow(node)

    def is_gone(self, longest: float | None, now: float) -> bool:
        return is_gone(longest, self.reservation.at, now)
