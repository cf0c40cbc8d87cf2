"""What each queue and user holds, against what they may. Mutable within one plan."""

from collections.abc import Iterable, Mapping
from math import floor, log2

from orchestrator.scheduler.model import NOTHING, ROUNDING, Amount, Held, Policy, Queued, QueuePolicy

Who = tuple[str, str]  # queue, owner
LEAST_SHARE = 1e-6  # of the cluster
UNLIMITED = QueuePolicy()


def _coarse(share: float) -> float:
    """Make shares alike that differ by less than a factor of two or so: the queue order is not for a moment's GPU."""
    return floor(log2(share)) if share > LEAST_SHARE else floor(log2(LEAST_SHARE)) - 1


def _by_owner(held: Iterable[Held]) -> dict[Who, list[Amount]]:
    found: dict[Who, list[Amount]] = {}
    for gang in held:
        found.setdefault((gang.queue, gang.owner), []).append(gang.amount)
    return found


class Ledger:
    def __init__(self, policy: Policy, held: Iterable[Held], usage: Mapping[Who, Amount], total: Amount) -> None:
        self.policy, self.usage, self.total = policy, usage, total
        self.queues: dict[str, Amount] = {}
        self.users: dict[Who, Amount] = {}
        self.jobs: dict[Who, int] = {}
        self.recent: dict[str, Amount] = {}
        for (queue, _), used in usage.items():
            self.recent[queue] = self.recent.get(queue, NOTHING).plus(used)
        for who, gangs in _by_owner(held).items():
            self.hold(who, Amount(*map(sum, zip(*gangs, strict=True))), len(gangs))

    def copy(self) -> "Ledger":
        twin = Ledger(self.policy, (), {}, self.total)
        twin.usage, twin.recent = self.usage, self.recent
        twin.queues, twin.users, twin.jobs = dict(self.queues), dict(self.users), dict(self.jobs)
        return twin

    def hold(self, who: Who, amount: Amount, jobs: int = 1) -> None:
        self.queues[who[0]] = self.queues.get(who[0], NOTHING).plus(amount)
        self.users[who] = self.users.get(who, NOTHING).plus(amount)
        self.jobs[who] = self.jobs.get(who, 0) + jobs

    def release(self, who: Who, amount: Amount, jobs: int = 1) -> None:
        self.hold(who, amount.times(-1), -jobs)

    def queue(self, name: str) -> QueuePolicy:
        return self.policy.queues.get(name, UNLIMITED)

    def is_entitled(self, queue: str, more: Amount) -> bool:
        """Return whether the queue stays within its guarantee."""
        policy, held = self.queue(queue), self.queues.get(queue, NOTHING)
        bounds = ((policy.gpus, held.gpus + more.gpus, more.gpus), (policy.cpus, held.cpus + more.cpus, more.cpus))
        set_ = [(bound, then) for bound, then, asked in bounds if bound is not None and asked]
        return bool(set_) and all(then <= bound + ROUNDING for bound, then in set_)

    def is_under(self, queue: str) -> bool:
        """Return whether something of the queue's guarantee is left."""
        policy, held = self.queue(queue), self.queues.get(queue, NOTHING)
        return (policy.gpus is not None and held.gpus < policy.gpus) or (
            policy.gpus is None and policy.cpus is not None and held.cpus < policy.cpus
        )

    def is_borrowing(self, queue: str) -> bool:
        """Return whether the queue holds more than its guarantee: what it borrowed can be called back."""
        policy, held = self.queue(queue), self.queues.get(queue, NOTHING)
        over_gpus = policy.gpus is not None and held.gpus > policy.gpus + ROUNDING
        return over_gpus or (policy.cpus is not None and held.cpus > policy.cpus + ROUNDING)

    def refusal(self, job: Queued, more: Amount) -> str | None:
        """Return why the queue, or the user, may not have so much more, or None."""
        return self.queue_refusal(job.queue, more) or self._user_refusal(job, more)

    def queue_refusal(self, name: str, more: Amount) -> str | None:
        policy, held = self.queue(name), self.queues.get(name, NOTHING)
        for unit, guaranteed, borrow, has, asked in (
            ("GPU", policy.gpus, policy.borrow_gpus, held.gpus, more.gpus),
            ("CPU", policy.cpus, policy.borrow_cpus, held.cpus, more.cpus),
        ):
            if guaranteed is None or borrow is None or not asked:
                continue
            if has + asked > guaranteed + borrow + ROUNDING:
                most = guaranteed + borrow
                return f"waiting for {asked:g} {unit}{'s' * (asked != 1)} in queue {name}; it holds {has:g} of {most:g}"
        return None

    def _user_refusal(self, job: Queued, more: Amount) -> str | None:
        policy, who = self.queue(job.queue), (job.queue, job.owner)
        if policy.user_jobs is not None and self.jobs.get(who, 0) >= policy.user_jobs:
            return f"waiting for another job of {job.owner}: {policy.user_jobs} may run at once in queue {job.queue}"
        has = self.users.get(who, NOTHING).gpus
        if policy.user_gpus is not None and more.gpus and has + more.gpus > policy.user_gpus + ROUNDING:
            return f"waiting for {more.gpus:g} GPUs of {job.owner}'s in queue {job.queue}; {has:g} of {policy.user_gpus:g} held"
        return None

    def never(self, job: Queued, least: Amount) -> str | None:
        """Return why the job could not start though nothing ran, or None."""
        empty = Ledger(self.policy, (), {}, self.total)
        reason = empty.refusal(job, least)
        return reason and reason.replace("waiting for", "needs", 1)

    def queue_share(self, queue: str) -> float:
        """Return recent and present use by its weight: the queue with the least goes first."""
        mine = self.recent.get(queue, NOTHING).plus(self.queues.get(queue, NOTHING))
        return _coarse(self._dominant(mine) / self.queue(queue).weight)

    def user_share(self, who: Who) -> float:
        """Return the same of a user within his queue."""
        return _coarse(self._dominant(self.usage.get(who, NOTHING).plus(self.users.get(who, NOTHING))))

    def _dominant(self, amount: Amount) -> float:
        cpus = amount.cpus / self.total.cpus if self.total.cpus else 0.0
        return max(cpus, amount.gpus / self.total.gpus if self.total.gpus else 0.0)
