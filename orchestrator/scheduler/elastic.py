"""An elastic job grows into capacity that has been idle for long enough. A resize is a stop and a new attempt."""

from collections.abc import Sequence

from orchestrator.scheduler.capacity import Capacity
from orchestrator.scheduler.model import Held, Preempt, Queued, Snapshot
from orchestrator.scheduler.quota import Ledger


def growth(snapshot: Snapshot, free: Capacity, ledger: Ledger) -> Preempt | None:
    """One at a time, the smallest part of its wish first; None while anybody waits or stops."""
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
    sizes: Sequence[int] = [size for size in gang.sizes if size > gang.workers]
    if not sizes:
        return None
    capacity = free.copy()
    capacity.change(gang.placement, gang.each, +1)
    ask = Queued(
        job_id=gang.job_id, name=gang.name, priority=gang.priority, submitted=0, sizes=(1,),
        cpus_per_worker=gang.cpus_per_worker, queue=gang.queue, owner=gang.owner,
    )  # fmt: skip
    for size in sizes:
        more = gang.each.times(size - gang.workers)
        if ledger.refusal(ask, more) is None and capacity.room(ask, gang.each) >= size:
            return size
    return None
