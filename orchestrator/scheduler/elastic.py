"""An elastic job grows into capacity that has been idle for long enough. A resize is a stop and a new attempt."""

from bisect import bisect_left
from collections.abc import Sequence
from operator import neg

from orchestrator.scheduler.capacity import Capacity
from orchestrator.scheduler.model import Held, Preempt, Queued, Snapshot
from orchestrator.scheduler.quota import Ledger


def growth(snapshot: Snapshot, free: Capacity, ledger: Ledger) -> Preempt | None:
    """Let one grow at a time, the smallest part of its wish first; None while anybody waits or stops."""
    idle = snapshot.idle_since
    if idle is None or snapshot.now - idle < snapshot.policy.grow_after:
        return None
    if any(gang.is_stopping for gang in snapshot.held):
        return None
    for gang in sorted(snapshot.held, key=lambda gang: (-gang.priority, gang.workers, gang.job_id)):
        if snapshot.now - gang.started >= snapshot.policy.grow_after and (size := _larger(gang, free, ledger)):
            reason = f"grows from {gang.workers} to {size} workers into idle capacity"
            return Preempt(job_id=gang.job_id, reason=reason, kind="grow")
    return None


def _larger(gang: Held, free: Capacity, ledger: Ledger) -> int | None:
    sizes: Sequence[int] = gang.sizes[: bisect_left(gang.sizes, -gang.workers, key=neg)]
    if not sizes:
        return None
    capacity = free.copy()
    capacity.change(gang.placement, gang.each, +1)
    ask = Queued(
        job_id=gang.job_id, name=gang.name, priority=gang.priority, submitted=0, sizes=(1,),
        cpus_per_worker=gang.cpus_per_worker, queue=gang.queue, owner=gang.owner,
    )  # fmt: skip
    room = capacity.room(ask, gang.each)
    for size in sizes[bisect_left(sizes, -room, key=neg) :]:
        if ledger.refusal(ask, gang.each.times(size - gang.workers)) is None:
            return size
    return None
