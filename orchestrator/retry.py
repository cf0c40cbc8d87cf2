"""What to do after a failure. Pure; budgets are counted from the rows of past attempts, so a crash resets none."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jobs.spec import Retry as Policy
from orchestrator.records import Attempt

Action = Literal["retry", "fail"]

# What is done about each failure when the spec has no rule of its own.
ACTIONS: dict[str, Action] = {
    "lost": "retry",  # the driver or its node is gone, or silent
    "stalled": "retry",  # it called and got nowhere
    "start": "retry",  # it ended before it claimed its attempt
    "submit": "retry",  # Ray refused it
    "worker": "retry",  # a rank died
    "storage": "retry",
    "stopped": "retry",  # it stopped by itself, unasked
    "out_of_memory": "retry",
    "user_code": "fail",
    "bad_data": "fail",
    "diverged": "fail",
    "gate": "fail",
    "reference": "fail",
    "upstream": "fail",
    "timeout": "fail",
    "queue_timeout": "fail",
}
LONGEST_BACKOFF = 600.0  # seconds
SPREAD = 0.25  # of a back-off, either way


@dataclass(frozen=True, kw_only=True)
class Retry:
    at: float


@dataclass(frozen=True, kw_only=True)
class GiveUp:
    reason: str


def decide(failure: str, attempts: Sequence[Attempt], policy: Policy, now: float) -> Retry | GiveUp:
    """`attempts` are all of the job's, the failed one last."""
    action = _ruled(failure, policy) or ACTIONS.get(failure, "fail")
    if action == "fail":
        return GiveUp(reason=f"{failure}: not retried")
    failed = sum(attempt.failure is not None for attempt in attempts)
    if failed > policy.limit:
        return GiveUp(reason=f"{failure}: attempt {attempts[-1].number} failed too, and retry.limit is {policy.limit}")
    return Retry(at=now + backoff(policy.backoff, failed, attempts[-1].id))


def _ruled(failure: str, policy: Policy) -> Action | None:
    """The first of the spec's rules that names this failure alone."""
    for rule in policy.rules:
        if rule.failure == failure and rule.exit_code is None and rule.log is None:
            return "fail" if rule.action == "fail" else "retry"
    return None


def backoff(first: float, failed: int, attempt_id: str) -> float:
    """Doubles with each failure, spread by the attempt's id: jobs that failed together do not come back together."""
    spread = int.from_bytes(hashlib.sha256(attempt_id.encode()).digest()[:4]) / 2**32
    return min(first * 2 ** min(failed - 1, 32), LONGEST_BACKOFF) * (1 - SPREAD + 2 * SPREAD * spread)
