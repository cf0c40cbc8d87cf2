"""Work beside the training: one thread, in order, and no failure of it goes unseen."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self


class Background:
    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer")
        self._pending: list[Future[None]] = []

    def submit(self, work: Callable[[], None]) -> None:
        self._pending.append(self._pool.submit(work))

    def wait(self) -> None:
        """Wait until all is done; raise what the work raised."""
        while self._pending:
            self._pending.pop(0).result()

    def raise_failures(self) -> None:
        """Raise those of what is done already, without waiting."""
        while self._pending and self._pending[0].done():
            self._pending.pop(0).result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=error is not None)
