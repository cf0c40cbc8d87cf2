"""Exceptions get the failure names that retry knows."""

import pickle
import sys
from pathlib import Path

import pytest

from jobs.driver.failures import Failed, failure_of, named
from jobs.driver.tail import Tail, Tee
from jobs.store import StoreFull, StoreUnreachable
from trainers.gan.registry import build
from trainers.monitoring.health import Collapsed


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


def test_rules_get_the_exit_code_and_the_traceback() -> None:
    try:
        sys.exit(33)
    except SystemExit as error:
        failed = pickle.loads(pickle.dumps(named(error)))
    assert (failed.failure, failed.exit_code) == ("user_code", 33)
    assert "sys.exit(33)" in failed.log
    try:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
    except RuntimeError as error:
        failed = named(error)
    assert (failed.failure, failed.exit_code) == ("user_code", None)
    assert "CUDA error" in failed.log


def test_a_tail_keeps_the_end_and_passes_all_on(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as stream:
        tail = Tail(most=10)
        print("0123456789abcdef", 12, file=Tee(stream, tail))
    assert tail.text == "9abcdef 12\n"[-10:]
    assert (tmp_path / "out").read_text() == "0123456789abcdef 12\n"


def test_what_pydantic_finds_is_told_in_its_own_sentence_alone() -> None:
    with pytest.raises(ValueError, match="couples") as told:
        build("dcgan", {"penalties": {"r1": {}}}, shape=(1, 16, 16), classes=None)
    assert named(told.value).message == (
        "penalties.r1 is a gradient per sample, and discriminator.norm 'batch' couples the samples; set discriminator.norm to "
        "'none', 'layer', 'instance' or 'spectral'"
    )
    with pytest.raises(ValueError, match="attention") as told:
        build("dcgan", {"attention": -4}, shape=(1, 16, 16), classes=None)
    assert named(told.value).message == "attention: Input should be greater than or equal to 1"
