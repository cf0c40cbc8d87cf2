"""Time that never steps: it goes with the monotonic clock, and leans towards the wall clock by one part in twenty.

Durations (timeouts, back-offs, silences) and records go by it; calendars go by the wall clock.
"""

import threading
import time
from collections.abc import Callable

SLEW = 0.05  # of the time that goes by: an hour's step of the wall clock is made up for in 20 hours
TRUSTED = 6 * 3600.0  # seconds by which the wall clock may have been set back while the server was away


class SteadyClock:
    """Seconds since the epoch. `at_least`: how far it had come before a restart."""

    def __init__(
        self,
        at_least: float | None = None,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall, self._monotonic, self._lock = wall, monotonic, threading.Lock()
        self._seen, self._now = monotonic(), wall()
        if at_least is not None and 0 < at_least - self._now < TRUSTED:
            self._now = at_least

    def __call__(self) -> float:
        with self._lock:
            seen = self._monotonic()
            elapsed = max(seen - self._seen, 0.0)
            off = self._wall() - (self._now + elapsed)
            self._now += elapsed + max(min(off, SLEW * elapsed), -SLEW * elapsed)
            self._seen = seen
            return self._now
