"""Is an attempt alive? Pure: its row, what Ray says, and the clock.

Ray's word alone is never the truth, and not reaching Ray means nothing: an attempt is lost when Ray says that
its driver ended and no result came, or when the driver has been silent for too long.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.records import Attempt
from orchestrator.scheduler import Node
from orchestrator.settings import Settings

LONGEST_MESSAGE = 500  # characters


class DriverStatus(StrEnum):
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    STOPPED = "STOPPED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


@dataclass(frozen=True, kw_only=True)
class Driver:
    """A Ray job as Ray tells of it."""

    status: str
    message: str = ""

    @property
    def has_ended(self) -> bool:
        return self.status in (DriverStatus.STOPPED, DriverStatus.SUCCEEDED, DriverStatus.FAILED)


Drivers = Mapping[str, Driver] | None  # by submission id; None: Ray cannot be reached


@dataclass(frozen=True)
class Fine:
    pass


@dataclass(frozen=True)
class Submit:
    """Ray does not have it: the server died between its row and the submission, or Ray did not take it."""


@dataclass(frozen=True)
class Adopt:
    """Ray has it and the row does not say so: the server died between the two."""


@dataclass(frozen=True)
class Ended:
    """Ray says that its driver ended: its result has some seconds to arrive."""


@dataclass(frozen=True)
class Kill:
    """It was told to stop, and its time for that is over."""


@dataclass(frozen=True)
class Lost:
    failure: str
    message: str


Assessment = Fine | Submit | Adopt | Ended | Kill | Lost


def assess(attempt: Attempt, drivers: Drivers, settings: Settings, now: float, since: float) -> Assessment:
    """Assess a living attempt. No deadline began before `since`: the server was not there to hear."""
    if drivers is not None:
        driver = drivers.get(attempt.id)
        return _known(attempt, driver, settings, now, since) if driver else _unknown(attempt, settings, now, since)
    return _silence(attempt, settings, now, since) or _overdue(attempt, settings, now, since) or Fine()


def _unknown(attempt: Attempt, settings: Settings, now: float, since: float) -> Assessment:
    """Assess one that Ray does not have. A head that was started again forgets them all, and its drivers die with it."""
    if attempt.started is None:
        return Submit() if attempt.stop_asked is None else Lost("lost", "stopped before it started")
    quiet = max(settings.result_grace, 3 * settings.heartbeat_seconds)
    if now - max(attempt.heartbeat or 0, since) > quiet:
        return Lost("lost", "Ray no longer knows it (its head was started again?) and its driver is silent")
    return Fine()


def _known(attempt: Attempt, driver: Driver, settings: Settings, now: float, since: float) -> Assessment:
    if driver.has_ended:
        return _after_end(attempt, driver, settings, now, since)
    if attempt.submitted is None:
        return Adopt()
    if attempt.started is None:
        return _unclaimed(attempt, driver, settings, now, since)
    return _silence(attempt, settings, now, since) or _overdue(attempt, settings, now, since) or Fine()


def _after_end(attempt: Attempt, driver: Driver, settings: Settings, now: float, since: float) -> Assessment:
    if attempt.driver_ended is None:
        return Ended()
    if now - max(attempt.driver_ended, since) < settings.result_grace:
        return Fine()
    failure = "lost" if attempt.started else "start"
    return Lost(failure, f"its driver ended without a result; Ray says {driver.status}: {_short(driver.message)}")


def _short(message: str) -> str:
    """Shorten what Ray says, the tail of the log: keep what it says first, and the log's last line, which names the error."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    if not lines:
        return "no more"
    said = lines[0].partition(", last available logs")[0]
    return f"{said}; {lines[-1]}"[:LONGEST_MESSAGE] if len(lines) > 1 else said[:LONGEST_MESSAGE]


def exit_code(message: str) -> int | None:
    """Return the driver's exit code, as Ray tells it."""
    found = re.search(r"exit code:? (-?\d+)", message)
    return int(found[1]) if found else None


def attribute_failure(
    failure: str, message: str, placement: Collection[str], nodes: Sequence[Node] | None
) -> tuple[str, str]:
    """Return failure and message: what is lost together with a node is the node's fault. `nodes`: None, Ray is not reached."""
    gone = sorted(set(placement) - {node.id for node in nodes}) if nodes else []
    return (
        ("node_lost", f"node {', '.join(gone)} is gone; {message}")
        if failure == "lost" and gone
        else (failure, message)
    )


def _unclaimed(attempt: Attempt, driver: Driver, settings: Settings, now: float, since: float) -> Assessment:
    if attempt.stop_asked is not None:
        return Kill()
    waited = now - max(attempt.submitted or 0, since)
    if driver.status == DriverStatus.RUNNING and waited > settings.claim_after:
        return Lost("start", f"its driver runs for {waited:.0f} s and has not claimed it; can it reach the server?")
    return Fine()


def _silence(attempt: Attempt, settings: Settings, now: float, since: float) -> Lost | None:
    if attempt.started is None:
        return None
    silent = now - max(attempt.heartbeat or 0, since)
    if silent > settings.stalled_after:
        return Lost(
            "lost", f"its driver has been silent for {silent:.0f} s (stalled_after is {settings.stalled_after:g} s)"
        )
    idle = now - max(attempt.progressed or 0, since)
    if idle > settings.progress_stalled_after:
        return Lost("stalled", f"no progress for {idle:.0f} s (the limit is {settings.progress_stalled_after:g} s)")
    return None


def _overdue(attempt: Attempt, settings: Settings, now: float, since: float) -> Assessment | None:
    if attempt.stop_asked is None:
        return None
    overdue = now - max(attempt.stop_asked, since) - settings.cancel_grace
    if overdue > settings.reserve_seconds:
        return Lost("lost", f"told to stop, and Ray has not confirmed its end for {overdue:.0f} s")
    return Kill() if overdue > 0 else None


@dataclass(frozen=True)
class Release:
    """Ray confirms its end, or the reservation is over."""


def assess_ended(attempt: Attempt, drivers: Drivers, now: float, patience: float = 15.0) -> Fine | Kill | Release:
    """Assess an attempt that has ended and still holds its place."""
    if attempt.reserved_until is not None and now > attempt.reserved_until:
        return Release()
    if drivers is None:
        return Fine()
    driver = drivers.get(attempt.id)
    if driver is None or driver.has_ended:
        return Release()
    # A driver that posted its result leaves by itself; one that was lost will not.
    leaves_soon = attempt.status != "LOST" and now - (attempt.ended or 0) < patience
    return Fine() if leaves_soon else Kill()
