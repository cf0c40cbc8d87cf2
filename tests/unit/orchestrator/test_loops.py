"""The threads beside the routes: they go on after a bad step, wake for news, and end when they are told to."""

import threading
from collections.abc import Iterator

import pytest

from orchestrator.supervision.periodic import Loop

LONG = 3600.0  # seconds: a test that waits for this rest does not end


class Steps:
    """A step that says when it was taken, and does what the test wants of it."""

    def __init__(self) -> None:
        self.taken, self.failing, self.rest = threading.Semaphore(0), False, LONG

    def __call__(self) -> float:
        self.taken.release()
        if self.failing:
            raise RuntimeError("a bad step")
        return self.rest


@pytest.fixture
def steps() -> Steps:
    return Steps()


@pytest.fixture
def loop(steps: Steps) -> Iterator[Loop]:
    loop = Loop("of the tests", steps, rest_after_error=LONG)
    yield loop
    loop.stop()
    assert not loop._thread.is_alive()


def test_it_begins_at_once_and_rests(loop: Loop, steps: Steps) -> None:
    loop.start()
    assert steps.taken.acquire(timeout=60)
    assert not steps.taken.acquire(blocking=False)


def test_news_wake_it(loop: Loop, steps: Steps) -> None:
    loop.start()
    for _ in range(3):
        assert steps.taken.acquire(timeout=60)
        loop.wake()
    assert steps.taken.acquire(timeout=60)


def test_news_that_come_during_a_step_are_not_lost(steps: Steps) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> float:
        begun.set()
        go_on.wait()
        return steps()

    loop = Loop("of the tests", slow, rest_after_error=LONG)
    loop.start()
    begun.wait()
    loop.wake()
    go_on.set()
    for _ in range(2):
        assert steps.taken.acquire(timeout=60)
    loop.stop()


def test_a_bad_step_does_not_end_it(loop: Loop, steps: Steps) -> None:
    steps.failing = True
    loop.start()
    assert steps.taken.acquire(timeout=60)
    steps.failing = False
    loop.wake()
    assert steps.taken.acquire(timeout=60)


def test_after_a_bad_step_it_rests_as_long_as_it_is_told(steps: Steps) -> None:
    steps.failing = True
    loop = Loop("of the tests", steps, rest_after_error=0.0)
    loop.start()
    for _ in range(5):
        assert steps.taken.acquire(timeout=60)
    loop.stop()


def test_it_ends_in_the_middle_of_its_rest_and_is_not_begun_again(loop: Loop, steps: Steps) -> None:
    loop.start()
    assert steps.taken.acquire(timeout=60)
    loop.stop()
    loop.wake()
    assert not loop._thread.is_alive()
    assert not steps.taken.acquire(blocking=False)


def test_one_that_never_began_is_stopped_at_once(loop: Loop, steps: Steps) -> None:
    loop.stop()
    assert not steps.taken.acquire(blocking=False)
