"""SIGTERM and SIGHUP as Ctrl-C; what is ignored stays ignored; what is being ended is not interrupted."""

import os
import signal

import pytest

from orchestrator import signals


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_each_interrupts_and_says_which_it_was(number: signal.Signals, code: int) -> None:
    with pytest.raises(KeyboardInterrupt) as interrupted, signals.like_ctrl_c():
        signal.raise_signal(number)
    assert signals.exit_code(interrupted.value) == code


def test_a_second_one_interrupts_what_the_first_began() -> None:
    seen = []
    with signals.like_ctrl_c():
        for number in (signal.SIGTERM, signal.SIGHUP):
            try:
                signal.raise_signal(number)
            except signals.Ended as ended:
                seen.append(ended.number)
    assert seen == [signal.SIGTERM, signal.SIGHUP]


def test_what_nohup_has_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals.like_ctrl_c():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_nothing_interrupts_the_end() -> None:
    done = []
    with signals.like_ctrl_c(), signals.deaf():
        for number in signals.ENDINGS:
            signal.raise_signal(number)
        done.append(True)
    assert done


def test_handlers_are_as_they_were() -> None:
    before = [signal.getsignal(number) for number in signals.ENDINGS]
    with signals.like_ctrl_c(), signals.deaf():
        pass
    assert [signal.getsignal(number) for number in signals.ENDINGS] == before
