"""Trying again: a request until the orchestrator answers, a write while the store is away."""

from collections.abc import Callable
from typing import TypeVar

import httpx
import tenacity

from jobs.store import AccessRefused, BucketMissing, StoreError

T = TypeVar("T")
STORE_PATIENCE = 600.0  # seconds that a store may be away before the attempt fails


def until_answered(request: Callable[[], httpx.Response], patience: float) -> httpx.Response | None:
    """Repeat a request until it is answered (5xx does not count), with growing pauses; None when patience ends."""
    unanswered = tenacity.retry_if_exception_type(httpx.HTTPError)
    retrying = tenacity.Retrying(
        retry=unanswered | tenacity.retry_if_result(lambda answer: answer.status_code >= 500),
        stop=tenacity.stop_before_delay(patience),
        wait=tenacity.wait_exponential(multiplier=0.2, max=10.0),
        retry_error_callback=lambda state: None,
    )
    return retrying(request)


def while_store_is_away(action: Callable[[], T], tell: Callable[[str, str], None]) -> T:
    """Repeat an action for minutes; then its StoreError. `tell`: an event when an outage begins, its repetitions only
    in the log."""

    def told(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if state.attempt_number == 1:
            tell("store_trouble", f"{error}; training goes on, and this is tried for {STORE_PATIENCE:.0f} s")
        else:
            print(f"store: {error}; trying again", flush=True)

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_may_pass),
        stop=tenacity.stop_after_delay(STORE_PATIENCE),
        wait=tenacity.wait_random_exponential(multiplier=0.5, max=20),
        before_sleep=told,
        reraise=True,
    )
    return retrying(action)


def _may_pass(error: BaseException) -> bool:
    """Return a full or absent store may come back; wrong credentials and a missing bucket do not by themselves."""
    return isinstance(error, StoreError) and not isinstance(error, AccessRefused | BucketMissing)
