"""Exceptions get the failure names that retry knows."""

import pickle

import pytest

from jobs.failures import Failed, failure_of, named
from jobs.store import StoreFull, StoreUnreachable
from trainers.health import Collapsed


class BadData(ValueError):
    pass


class Diverged(RuntimeError):
    pass


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (StoreUnreachable("x"), "storage"),
        (StoreFull("x"), "storage"),
        (BadData("x"), "bad_data"),
        (Diverged("x"), "diverged"),
        (Collapsed("x"), "collapsed"),
        (MemoryError(), "out_of_memory"),
        (ZeroDivisionError("x"), "user_code"),
    ],
)
def test_every_exception_has_a_failure(error: Exception, failure: str) -> None:
    assert failure_of(error) == failure


def test_a_named_failure_crosses_process_borders() -> None:
    failed = pickle.loads(pickle.dumps(named(BadData("no such folder"))))
    assert (failed.failure, failed.message) == ("bad_data", "no such folder")
    assert named(failed) is failed
    assert str(Failed("lost", "worker 1 is gone")) == "lost: worker 1 is gone"
