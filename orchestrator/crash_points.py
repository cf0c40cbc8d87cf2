"""Named places between two side effects where a test can make the process die, as kill -9 would."""

import os

leave = os._exit  # no clean-up, no buffers flushed
VARIABLE = "GANWORKS_CRASH_AT"

POINTS = (
    "start: before the attempt's row",
    "start: after the attempt's row",
    "start: after Ray took it",
    "start: after the note of it",
    "finish: before the result",
    "finish: after the result",
    "lose: before the note of it",
    "lose: after the note of it",
    "lose: after Ray stopped it",
    "archive: after the log",
    "archive: after the events",
)


def crash_point(name: str) -> None:
    assert name in POINTS, name
    if os.environ.get(VARIABLE) == name:
        leave(137)
