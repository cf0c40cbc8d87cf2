"""SIGTERM and a closed terminal (SIGHUP) are what Ctrl-C is: `timeout 3600 ganworks run …` ends as orderly as a person would."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(KeyboardInterrupt):
    """This process is asked to end by a signal other than Ctrl-C's."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def exit_code(interrupt: KeyboardInterrupt) -> int:
    """Return what a shell calls the end by this signal: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
    return 128 + (interrupt.number if isinstance(interrupt, Ended) else signal.SIGINT)


@contextmanager
def like_ctrl_c() -> Iterator[None]:
    """Let them raise Ended; those that whoever started us wants ignored (`nohup`) stay so."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise Ended(number)

    wanted = [each for each in ENDINGS[1:] if signal.getsignal(each) is not signal.SIG_IGN]
    with _handled(dict.fromkeys(wanted, end)):
        yield


@contextmanager
def deaf() -> Iterator[None]:
    """Let nothing interrupt: what is being ended is ended to the last process."""
    with _handled(dict.fromkeys(ENDINGS, signal.SIG_IGN)):
        yield


@contextmanager
def _handled(handlers: dict[signal.Signals, Any]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
