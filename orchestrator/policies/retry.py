"""What to do after a failure. Pure; budgets are counted from the rows of past attempts, so a crash resets none.

The spec's rules go first, in their order; then this table. `retry.limit` is shared by all causes, some have less
of it, and what is nobody's fault costs nothing. Whatever the rules say, there is a last attempt.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jobs.specs.spec import Retry as Policy
from jobs.specs.spec import Rule
from orchestrator.records import Attempt

Action = Literal["retry", "fail", "ignore"]

# What is done about each failure when the spec has no rule for it. `ignore`: again, and it costs no budget.
ACTIONS: dict[str, Action] = {
    "lost": "retry",  # the driver is gone, or silent
    "node_lost": "retry",  # so is a node of its gang
    "stalled": "retry",  # it called and got nowhere
    "start": "retry",  # it ended before it claimed its attempt
    "submit": "retry",  # Ray refused it
    "worker": "retry",  # a rank died
    "storage": "retry",
    "preempted": "ignore",  # it did not stop in time for another job: its own fault is none
    "stopped": "retry",  # it stopped by itself, unasked
    "out_of_memory": "retry",
    "user_code": "fail",
    "bad_data": "fail",
    "diverged": "fail",
    "collapsed": "fail",
    "gate": "fail",
    "reference": "fail",
    "upstream": "fail",
    "timeout": "fail",
    "queue_timeout": "fail",
}
# Further attempts after the first of these, if `retry.limit` allows as many: what fails twice alike will again.
LIMITS = {"out_of_memory": 1, "stalled": 2}
# Faults that a node may be to blame for.
NODE_FAULTS = frozenset({"lost", "node_lost", "start", "stalled", "worker"})
REPEATED = 2  # faults of one job on a node, from which on other nodes are better for it
MOST_ATTEMPTS = 100  # that cost no budget: a rule that ignores everything ends, too
LONGEST_BACKOFF = 600.0  # seconds
SPREAD = 0.25  # of a back-off, either way


@dataclass(frozen=True, kw_only=True)
class Retry:
    at: float
    excused: bool = False  # it costs no budget


@dataclass(frozen=True, kw_only=True)
class GiveUp:
    reason: str
    is_limit: bool = True  # a limit is reached; False: such a failure is not retried


def decide(failure: str, attempts: Sequence[Attempt], policy: Policy, now: float, log: str = "") -> Retry | GiveUp:
    """Decide what follows. `attempts` are all of the job's, the failed one last; `log` is the end of its driver's."""
    last = attempts[-1]
    action = ruled(failure, last.exit_code, f"{last.message or ''}\n{log}", policy.rules)
    if action == "fail":
        return GiveUp(reason=f"{failure}: not retried", is_limit=False)
    if action == "ignore":
        return _ignored(failure, attempts, policy, now)
    failed = [attempt for attempt in attempts if attempt.failure is not None and not attempt.excused]
    alike = [attempt for attempt in failed if attempt.failure == failure]
    if len(failed) > policy.limit:
        return GiveUp(reason=f"{failure}: attempt {last.number} failed too, and retry.limit is {policy.limit}")
    if len(alike) > LIMITS.get(failure, policy.limit):
        return GiveUp(reason=f"{failure}: {len(alike)} attempts ended so; more than {LIMITS[failure]} are not repeated")
    return Retry(at=now + backoff(policy.backoff, max(len(failed), 1), last.id))


def _ignored(failure: str, attempts: Sequence[Attempt], policy: Policy, now: float) -> Retry | GiveUp:
    excused = sum(attempt.failure is not None for attempt in attempts)
    if excused > MOST_ATTEMPTS:
        return GiveUp(reason=f"{failure}: ignored {MOST_ATTEMPTS} times; no job is tried more often")
    return Retry(at=now + backoff(policy.backoff, excused, attempts[-1].id), excused=True)


def ruled(failure: str, exit_code: int | None, text: str, rules: Sequence[Rule]) -> Action:
    """Return the action of the first rule whose every condition holds, or of the table."""
    for rule in rules:
        if (
            rule.failure in (None, failure)
            and rule.exit_code in (None, exit_code)
            and (rule.log is None or re.search(rule.log, text))
        ):
            return rule.action
    return ACTIONS.get(failure, "fail")


def avoided(attempts: Sequence[Attempt]) -> tuple[str, ...]:
    """Return nodes on which this job failed repeatedly, in a way that the node may be to blame for."""
    faults = [node for attempt in attempts if attempt.failure in NODE_FAULTS for node in attempt.placement]
    return tuple(sorted({node for node in faults if faults.count(node) >= REPEATED}))


def backoff(first: float, failed: int, attempt_id: str) -> float:
    """Return the pause, which doubles with each failure, spread by the attempt's id: jobs that failed together do not come back together."""
    spread = int.from_bytes(hashlib.sha256(attempt_id.encode()).digest()[:4]) / 2**32
    return min(first * 2 ** min(failed - 1, 32), LONGEST_BACKOFF) * (1 - SPREAD + 2 * SPREAD * spread)
