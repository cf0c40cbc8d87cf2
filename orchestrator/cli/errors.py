"""How a command ends: the exit codes people script against, and errors without a traceback."""

from enum import IntEnum


class Exit(IntEnum):
    DONE = 0
    FAILED = 1  # the job failed
    BAD_INPUT = 2  # or not found, or a conflict
    UNREACHABLE = 3  # the server, or what it needs for an answer
    REFUSED = 4  # no, or a wrong token
    CANCELLED = 5
    GATE = 6  # the gate held the data back
    INTERRUPTED = 130


class CliError(Exception):
    """A message for stderr and an exit code."""

    def __init__(self, message: str, code: Exit = Exit.BAD_INPUT) -> None:
        super().__init__(message)
        self.code = code


def exit_of(status: str, failure: str | None) -> Exit:
    """Return the exit code of a job that has ended."""
    if status == "SUCCEEDED":
        return Exit.DONE
    if status == "CANCELLED":
        return Exit.CANCELLED
    return Exit.GATE if failure == "gate" else Exit.FAILED
