"""What readers ask of the store and of Ray: in a few threads of its own, and nobody waits for an answer longer than so long.

A store that hangs then costs its readers a 503, and costs nobody else anything.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

THREADS = 8  # reads at once; one that never returns keeps its thread
SECONDS = 8.0  # for all that one request asks

T = TypeVar("T")


class TooSlow(RuntimeError):
    """The store or Ray has not answered a reader in time."""


class FarReads:
    def __init__(self, threads: int = THREADS, seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self._free = threading.BoundedSemaphore(threads)

    def __call__(self, read: Callable[[], T]) -> T:
        """Return what `read` does, or raise what it raises. Raises TooSlow; `read` then comes to its end unheeded."""
        deadline = time.monotonic() + self.seconds
        if not self._free.acquire(timeout=self.seconds):
            raise TooSlow(f"other readers have waited for the store or for Ray for {self.seconds:g} s; try again")
        outcome: Future[T] = Future()
        threading.Thread(target=self._run, args=(read, outcome), name="far read", daemon=True).start()
        try:
            return outcome.result(max(deadline - time.monotonic(), 0.0))
        except TimeoutError:
            if outcome.done():
                raise
            raise TooSlow(f"the store or Ray has given no answer for {self.seconds:g} s; try again") from None

    def _run(self, read: Callable[[], T], outcome: "Future[T]") -> None:
        try:
            outcome.set_result(read())
        except BaseException as error:
            outcome.set_exception(error)
        finally:
            self._free.release()
