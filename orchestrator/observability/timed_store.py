"""The server's own store, with each request timed and each failure counted."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from jobs.store import NotFound, Store, StoreError
from orchestrator.observability.process_metrics import ProcessMetrics

TIMED = frozenset({"put", "put_file", "get", "get_file", "copy", "head", "sha256", "delete", "probe"})


class TimedStore:
    """Passes everything on. `list` is timed by its consumer's pace, so it is only watched for errors."""

    def __init__(self, store: Store, process_metrics: ProcessMetrics) -> None:
        self._store = store
        self._metrics = process_metrics

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return self._timed(name, found) if name in TIMED else found

    def list(self, prefix: str) -> Iterator[Any]:
        try:
            yield from self._store.list(prefix)
        except StoreError as error:
            self._failed("list", error)
            raise

    def _timed(self, operation: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **options: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*arguments, **options)
            except StoreError as error:
                self._failed(operation, error)
                raise
            finally:
                self._metrics.store_seconds.labels(operation).observe(time.perf_counter() - began)

        return timed

    def _failed(self, operation: str, error: StoreError) -> None:
        if not isinstance(error, NotFound):  # an answer, no failure
            self._metrics.store_errors.labels(operation, type(error).__name__).inc()
