"""A thread that takes one step after another, until it is told to end; whoever has news wakes it."""

import threading
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)


class Loop:
    """`step` returns the longest rest before the next one, in seconds."""

    def __init__(self, name: str, step: Callable[[], float], rest_after_error: float) -> None:
        self.name, self.step, self.rest_after_error = name, step, rest_after_error
        self._awake, self._ending = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._awake.set()

    def stop(self, timeout: float = 30) -> None:
        self._ending.set()
        self._awake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=timeout)

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                rest = self.step()
            except Exception:
                # One bad step must not end the server; the next one begins from the database again.
                log.exception("step failed", loop=self.name)
                rest = self.rest_after_error
            self._awake.wait(rest)
            self._awake.clear()
