"""Exceptions -> the named failures that the orchestrator's retry table knows."""

import traceback

from pydantic import ValidationError

from jobs import wire
from jobs.store import StoreError

LONGEST_LOG = 20_000  # characters

# Exception class name -> failure. By name: the classes come from libraries that not every process has,
# and cross process borders pickled. The first match along the class's ancestry counts.
FAILURES = {
    "BadData": "bad_data",
    "DamagedData": "bad_data",
    "LabelsMissing": "bad_data",
    "LabelsNeeded": "bad_data",
    "InputsMissing": "bad_data",
    "Unpairable": "bad_data",
    "HelperNotFound": "bad_data",
    "Diverged": "diverged",
    "Collapsed": "collapsed",
    "StoreError": "storage",
    "OutOfMemoryError": "out_of_memory",
    "MemoryError": "out_of_memory",
    "Stale": "stale",
    "Interrupted": "interrupted",
}


class Failed(RuntimeError):
    """A named failure, able to cross process borders: the name, the message, and what rules of `retry` go by."""

    def __init__(self, failure: str, message: str, exit_code: int | None = None, log: str = "") -> None:
        super().__init__(failure, message, exit_code, log)
        self.failure = failure
        self.message = message
        self.exit_code = exit_code  # that the code asked for; None: it raised something else
        self.log = log  # the end of its traceback

    def __str__(self) -> str:
        return f"{self.failure}: {self.message}"

    def result(self, log: str) -> wire.Result:
        """Return it as what the orchestrator is told."""
        return wire.Result(
            outcome="failed",
            failure=self.failure,
            message=self.message[:4000],
            exit_code=self.exit_code,
            log=log[-100_000:],
        )


def failure_of(error: BaseException) -> str:
    """Return the failure's name; `user_code` for what no table knows."""
    for ancestor in type(error).__mro__:
        if ancestor.__name__ in FAILURES:
            return FAILURES[ancestor.__name__]
    return "user_code"


def named(error: BaseException) -> Failed:
    """Return any exception as a named failure."""
    if isinstance(error, Failed):
        return error
    log = "".join(traceback.format_exception(error))[-LONGEST_LOG:]
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        return Failed("user_code", f"it left with exit code {code}", code, log)
    message = _plain(error) or type(error).__name__
    if not isinstance(error, ValueError | StoreError):
        message = f"{type(error).__name__}: {message}"
    return Failed(failure_of(error), message, log=log)


def _plain(error: BaseException) -> str:
    """Return what an error says; of pydantic's the sentences alone, each with its field, without addresses and input."""
    if not isinstance(error, ValidationError):
        return str(error)
    said = ((".".join(map(str, each["loc"])), each["msg"].removeprefix("Value error, ")) for each in error.errors())
    return "; ".join(f"{place}: {message}" if place else message for place, message in said)
