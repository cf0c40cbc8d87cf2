"""The server's store as its metrics see it: each request timed by what it is, each failure counted by what it was."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from jobs.store import NotFound, Store, StoreFull, StoreUnreachable, open_store
from orchestrator.observability.process_metrics import ProcessMetrics
from orchestrator.observability.timed_store import TIMED, TimedStore


@pytest.fixture
def metrics() -> ProcessMetrics:
    return ProcessMetrics()


@pytest.fixture
def timed(tmp_path: Path, metrics: ProcessMetrics) -> Any:
    return TimedStore(open_store(str(tmp_path)), metrics)


def samples(metrics: ProcessMetrics, name: str) -> dict[tuple[str, ...], float]:
    """Values of a series, by its labels' values in the order of their names."""
    registry: CollectorRegistry = metrics.registry
    found = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in found
        for sample in family.samples
        if sample.name == name
    }


def count(metrics: ProcessMetrics) -> dict[tuple[str, ...], float]:
    return samples(metrics, "ganworks_store_request_duration_seconds_count")


def errors(metrics: ProcessMetrics) -> dict[tuple[str, ...], float]:
    return samples(metrics, "ganworks_store_errors_total")


REQUESTS: dict[str, Callable[[Any, Path], Any]] = {
    "put": lambda store, _: store.put("a", b"x"),
    "get": lambda store, _: store.get("there", start=1, stop=3),
    "head": lambda store, _: store.head("there").size,
    "sha256": lambda store, _: len(store.sha256("there")),
    "copy": lambda store, _: store.copy("there", "b"),
    "delete": lambda store, _: store.delete("there"),
    "probe": lambda store, _: store.probe().put_if_absent,
    "get_file": lambda store, folder: store.get_file("there", folder / "file"),
    "put_file": lambda store, folder: store.put_file("c", folder / "given"),
}
ANSWERS = {"get": b"ho", "head": 4, "sha256": 64, "probe": True}


@pytest.mark.parametrize("request_name", REQUESTS)
def test_each_request_does_what_it_does_and_is_timed_once(
    timed: Any, metrics: ProcessMetrics, tmp_path: Path, request_name: str
) -> None:
    timed._store.put("there", b"whos")
    (tmp_path / "given").write_bytes(b"given")
    assert REQUESTS[request_name](timed, tmp_path) == ANSWERS.get(request_name)
    assert count(metrics) == {(request_name,): 1.0}
    assert errors(metrics) == {}


def test_every_request_of_the_protocol_is_timed() -> None:
    protocol = {name for name in vars(Store) if not name.startswith("_") and callable(getattr(Store, name))}
    assert protocol - TIMED == {"list", "locate"}  # at its reader's pace; without a request
    assert REQUESTS.keys() == TIMED


def test_what_is_not_there_is_an_answer_and_no_error(timed: Any, metrics: ProcessMetrics) -> None:
    with pytest.raises(NotFound):
        timed.get("nowhere")
    assert timed.head("nowhere") is None
    assert errors(metrics) == {}
    assert count(metrics) == {("get",): 1.0, ("head",): 1.0}


@pytest.mark.parametrize("error", [StoreUnreachable("away"), StoreFull("full")])
def test_a_failure_is_counted_by_its_kind_and_passed_on(
    timed: Any, metrics: ProcessMetrics, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise error

    for name in ("put", "list"):
        monkeypatch.setattr(timed._store, name, fails)
    for _ in range(2):
        with pytest.raises(type(error)):
            timed.put("a", b"x")
    with pytest.raises(type(error)):
        list(timed.list(""))
    kind = type(error).__name__
    assert errors(metrics) == {("list", kind): 1.0, ("put", kind): 2.0}


def test_a_listing_is_passed_on_as_it_comes(timed: Any) -> None:
    for key in ("a/1", "a/2", "b"):
        timed.put(key, b"x")
    listing = timed.list("a/")
    assert next(listing).key == "a/1"
    assert [info.key for info in listing] == ["a/2"]


def test_where_it_is_and_what_it_is_called_is_the_stores_own(timed: Any, tmp_path: Path) -> None:
    assert timed.uri == str(tmp_path)
    assert timed.locate("a/b") == str(tmp_path / "a/b")
