"""Whom to stop so that a more important job starts: as few and as cheap as will do, or nobody."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from orchestrator.scheduler.model import Amount, Held, Policy, Queued
from orchestrator.scheduler.quota import Ledger
from orchestrator.scheduler.rooms import Rooms


@dataclass(frozen=True)
class Victim:
    gang: Held
    keeps: int  # workers that may stay when it starts again; 0: none

    @property
    def kind(self) -> Literal["preempt", "shrink"]:
        return "shrink" if self.keeps else "preempt"


def victims(
    job: Queued,
    workers: int,
    each: Amount,
    free: Rooms,
    held: Sequence[Held],
    ledger: Ledger,
    policy: Policy,
    now: float,
) -> list[Victim]:
    """Empty when nobody need be stopped, because what stops already is enough, or when it would not help."""
    if not policy.preemption:
        return []
    rooms = free.copy()
    for gang in held:
        if gang.is_stopping:
            rooms.change(gang.placement, gang.each, +1)
    if rooms.room(job, each) >= workers:
        return []
    candidates = sorted(_candidates(job, each.times(workers), held, ledger, policy, now), key=_cost)
    return _enough(job, workers, each, rooms, _shrinking(candidates)) or _enough(
        job, workers, each, rooms, [Victim(gang, 0) for gang in candidates]
    )


def _candidates(
    job: Queued, needs: Amount, held: Sequence[Held], ledger: Ledger, policy: Policy, now: float
) -> list[Held]:
    """Lower priority; or what other queues borrowed, when the job's own queue is within its guarantee."""
    reclaims = ledger.is_entitled(job.queue, needs)
    return [
        gang
        for gang in held
        if not gang.is_stopping
        and now - gang.started >= policy.protected
        and (
            (gang.priority < job.priority and not _is_guaranteed(gang, job, ledger))
            or (reclaims and gang.queue != job.queue and ledger.is_borrowing(gang.queue))
        )
    ]


def _is_guaranteed(gang: Held, job: Queued, ledger: Ledger) -> bool:
    """Another queue's guarantee holds against any priority."""
    policy = ledger.queue(gang.queue)
    has_guarantee = policy.gpus is not None or policy.cpus is not None
    return gang.queue != job.queue and has_guarantee and not ledger.is_borrowing(gang.queue)


def _cost(gang: Held) -> tuple[int, float, float, float, str]:
    """The least important first, then the smallest, then the youngest: a stop costs its whole gang a restart."""
    return gang.priority, gang.amount.gpus, gang.amount.cpus, -gang.started, gang.job_id


def _shrinking(candidates: Sequence[Held]) -> list[Victim]:
    return [Victim(gang, gang.sizes[-1]) for gang in candidates if gang.sizes and gang.workers > gang.sizes[-1]]


def _enough(job: Queued, workers: int, each: Amount, rooms: Rooms, order: Sequence[Victim]) -> list[Victim]:
    """The first that make room together, less those that were not needed for it."""
    rooms = rooms.copy()
    chosen: list[Victim] = []
    for victim in order:
        if rooms.room(job, each) >= workers:
            break
        rooms.change(_freed(victim), victim.gang.each, +1)
        chosen.append(victim)
    if rooms.room(job, each) < workers:
        return []
    for victim in chosen[::-1]:
        rooms.change(_freed(victim), victim.gang.each, -1)
        if rooms.room(job, each) >= workers:
            chosen.remove(victim)
        else:
            rooms.change(_freed(victim), victim.gang.each, +1)
    return chosen


def _freed(victim: Victim) -> dict[str, int]:
    """What its places leave once it has come back smaller."""
    left, freed = victim.gang.workers - victim.keeps, {}
    for node, workers in sorted(victim.gang.placement.items(), key=lambda item: (item[1], item[0])):
        freed[node] = min(workers, left)
        left -= freed[node]
    return freed
