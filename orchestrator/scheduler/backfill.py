"""The reservation of the first job that does not fit, and what others may use meanwhile.

It is promised its places for the moment when they are free at the latest. Another job may start before it only
where it leaves those places alone, or is sure to be gone by then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from orchestrator.scheduler.model import Amount, Held, Queued
from orchestrator.scheduler.rooms import Rooms, fits, takes


@dataclass(kw_only=True)
class Reservation:
    job: Queued
    at: float  # inf: nobody knows
    placement: dict[str, int]
    spare: dict[str, Amount]  # node -> what the reservation leaves of it at that moment


def reserve(job: Queued, workers: int, each: Amount, free: Rooms, held: Sequence[Held], now: float) -> Reservation:
    """The earliest moment at which the whole gang fits, taking every attempt to run as long as it may."""
    then = dict(free.free)
    at, room = now, free.room(job, each)
    good = {node for node, kind in free.kinds.items() if takes(kind, job)}
    for gang in sorted(held, key=lambda gang: (_end(gang, now), gang.started, gang.job_id)):
        if room >= workers:
            break
        at = _end(gang, now)
        for node, count in gang.placement.items():
            if node in then:
                before, then[node] = then[node], then[node].plus(gang.each, count)
                room += (fits(then[node], each) - fits(before, each)) if node in good else 0
    rooms = free.at(then)
    placement = rooms.place(job, workers, each) or {}
    spare = {node: rooms.free[node].plus(each, -count) for node, count in placement.items()}
    return Reservation(job=job, at=at, placement=placement, spare=spare)


def _end(gang: Held, now: float) -> float:
    if gang.is_stopping:
        return now
    return inf if gang.ends is None else max(gang.ends, now)


class Backfill:
    """Room for those behind the reservation: less on the reserved nodes, unless they are gone in time."""

    def __init__(self, free: Rooms, reservation: Reservation) -> None:
        self.free, self.reservation = free, reservation
        self.narrow = free.copy()
        for node in reservation.placement:
            self._narrow(node)

    def _narrow(self, node: str) -> None:
        free, spare = self.free.free[node], self.reservation.spare.get(node)
        self.narrow.set(node, free if spare is None else Amount(*map(min, free, spare)))

    def place(self, job: Queued, workers: int, each: Amount, now: float) -> dict[str, int] | None:
        return (self.free if self.is_gone(job, now) else self.narrow).place(job, workers, each)

    def take(self, job: Queued, placement: dict[str, int], each: Amount, now: float) -> None:
        """It has been taken of `free` already."""
        spare = self.reservation.spare
        for node, workers in placement.items():
            if node in spare and not self.is_gone(job, now):
                spare[node] = spare[node].plus(each, -workers)
            self._narrow(node)

    def is_gone(self, job: Queued, now: float) -> bool:
        at = self.reservation.at
        return job.longest is not None and at < inf and now + job.longest <= at
