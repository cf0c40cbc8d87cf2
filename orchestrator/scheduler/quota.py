"""What each queue and user holds, against what they may. Mutable within one plan."""

from collections.abc import Iterable, Mapping

from orchestrator.scheduler.model import NOTHING, ROUNDING, Amount, Held, Policy, Queued, QueuePolicy

Who = tuple[str, str]  # queue, owner
UNLIMITED = QueuePolicy()


def _by_owner(held: Iterable[Held]) -> dict[Who, list[tuple[float, float, float]]]:
    found: dict[Who, list[tuple[float, float, float]]] = {}
    for gang in held:
        n = gang.workers
        amount = (n * gang.cpus_per_worker, n * gang.gpus_per_worker, n * gang.memory_per_worker)
        found.setdefault((gang.queue, gang.owner), []).append(amount)
    return found


class Ledger:
    def __init__(self, policy: Policy, held: Iterable[Held], usage: Mapping[Who, Amount], total: Amount) -> None:
        self.policy, self.usage, self.total = policy, usage, total
        self.queues: dict[str, Amount] = {}
        self.users: dict[Who, Amount] = {}
        self.jobs: dict[Who, int] = {}
        self.recent: dict[str, Amount] = {}
        self._shares: dict[Who, tuple[float, float]] = {}
        self._versions: dict[str, int] = {}
        for (queue, _), used in usage.items():
            self.recent[queue] = self.recent.get(queue, NOTHING).plus(used)
        for who, gangs in _by_owner(held).items():
            self._add(who, Amount(*map(sum, zip(*gangs, strict=True))), len(gangs))

    def hold(self, who: Who, amount: Amount) -> None:
        self._add(who, amount, 1)

    def _add(self, who: Who, amount: Amount, jobs: int) -> None:
        self._shares.clear()
        self._versions[who[0]] = self._versions.get(who[0], 0) + 1
        self.queues[who[0]] = self.queues.get(who[0], NOTHING).plus(amount)
        self.users[who] = self.users.get(who, NOTHING).plus(amount)
        self.jobs[who] = self.jobs.get(who, 0) + jobs

    def version(self, queue: str) -> int:
        """Another number whenever the queue's shares may be others."""
        return self._versions.get(queue, 0)

    def queue(self, name: str) -> QueuePolicy:
        return self.policy.queues.get(name, UNLIMITED)

    def is_entitled(self, queue: str, more: Amount) -> bool:
        """Whether the queue stays within its guarantee."""
        policy, held = self.queue(queue), self.queues.get(queue, NOTHING)
        bounds = ((policy.gpus, held.gpus + more.gpus, more.gpus), (policy.cpus, held.cpus + more.cpus, more.cpus))
        set_ = [(bound, then) for bound, then, asked in bounds if bound is not None and asked]
        return bool(set_) and all(then <= bound + ROUNDING for bound, then in set_)

    def is_under(self, queue: str) -> bool:
        """Whether something of the queue's guarantee is left."""
        policy, held = self.queue(queue), self.queues.get(queue, NOTHING)
        return (policy.gpus is not None and held.gpus < policy.gpus) or (
            policy.gpus is None and policy.cpus is not None and held.cpus < policy.cpus
        )

    def is_borrowing(self, queue: str) -> bool:
        """Whether the queue holds more than its guarantee: what it borrowed can be called back."""
        policy, held = self.queue(queue), self.queues.get(queue, NOTHING)
        over_gpus = policy.gpus is not None and held.gpus > policy.gpus + ROUNDING
        return over_gpus or (policy.cpus is not None and held.cpus > policy.cpus + ROUNDING)

    def refusal(self, job: Queued, more: Amount) -> str | None:
        """Why the queue, or the user, may not have so much more, or None."""
        return self._queue_refusal(job.queue, more) or self._user_refusal(job, more)

    def _queue_refusal(self, name: str, more: Amount) -> str | None:
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
        """Why the job could not start though nothing ran, or None."""
        empty = Ledger(self.policy, (), {}, self.total)
        reason = empty.refusal(job, least)
        return reason and reason.replace("waiting for", "needs", 1)

    def share(self, queue: str, owner: str) -> tuple[float, float]:
        """Recent and present use of the queue by its weight, then of the user within it: the least goes first."""
        if (queue, owner) not in self._shares:
            mine = self.recent.get(queue, NOTHING).plus(self.queues.get(queue, NOTHING))
            users = self.usage.get((queue, owner), NOTHING).plus(self.users.get((queue, owner), NOTHING))
            self._shares[queue, owner] = self._dominant(mine) / self.queue(queue).weight, self._dominant(users)
        return self._shares[queue, owner]

    def _dominant(self, amount: Amount) -> float:
        cpus = amount.cpus / self.total.cpus if self.total.cpus else 0.0
        return max(cpus, amount.gpus / self.total.gpus if self.total.gpus else 0.0)
