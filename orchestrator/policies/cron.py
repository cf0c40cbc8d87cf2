"""Which firings of a schedule are due, and what becomes of each. Pure: the same rows and moment, the same answer.

A firing is named by its scheduled time; its jitter is a hash of schedule and scheduled time, so that every replay
waits equally long. Wall-clock time is the schedule's own: in spring a firing inside the missing hour comes when the
hour is over, in autumn a firing inside the doubled hour comes once (`*/5` and the like go on through both).
"""

import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice, takewhile
from typing import Literal
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from jobs.specs.errors import did_you_mean
from jobs.specs.spec import Schedule
from jobs.specs.writing import NICKNAMES

ON_TIME = 15.0  # seconds: a firing decided this soon was not missed by an outage; a step takes less
HORIZON = 31 * 86400.0  # an outage longer than this is not looked back through
REPLAYED = 1000  # of one outage's firings, the newest
FIELDS = ("minute", "hour", "day of month", "month", "day of week")


@dataclass(frozen=True, kw_only=True)
class Firing:
    """A due firing. `missed` says why it makes no job; None: it makes one."""

    scheduled: float
    at: float  # with its jitter
    missed: str | None = None


def problem(schedule: Schedule) -> str | None:
    """Say what is wrong with its cron line or time zone, or None."""
    fields = schedule.cron.split()
    if schedule.cron.strip().lower() in NICKNAMES:
        return f"cron: {schedule.cron!r} is written '{NICKNAMES[schedule.cron.strip().lower()]}'"
    if len(fields) != len(FIELDS):
        return f"cron: five fields are expected ({', '.join(FIELDS)}); got {len(fields)} in {schedule.cron!r}"
    if schedule.time_zone not in available_timezones():
        return f"time_zone: unknown {schedule.time_zone!r}{did_you_mean(schedule.time_zone, available_timezones())}"
    try:
        next(CronSim(schedule.cron, datetime(2024, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        return f"cron: {error} in {schedule.cron!r}; such as '0 2 * * *' for two o'clock every night"
    except StopIteration:
        return f"cron: {schedule.cron!r} never comes: no such day in fifty years"
    return None


def times(schedule: Schedule, after: float) -> Iterator[float]:
    """Yield scheduled times later than `after`, rising."""
    zone = ZoneInfo(schedule.time_zone)
    last = after
    for moment in CronSim(schedule.cron, datetime.fromtimestamp(after, zone)):
        # cronsim drops the fold of fixed-time lines: begun in the second pass it looks back into the first.
        if moment.timestamp() > last:
            last = moment.timestamp()
            yield last


def jitter(name: str, scheduled: float, longest: float) -> float:
    """Return seconds in [0, longest), the same on every replay."""
    if not longest:
        return 0.0
    digest = hashlib.sha256(f"{name}\0{scheduled:.0f}".encode()).digest()
    return longest * int.from_bytes(digest[:8]) / 2**64


def coming(name: str, schedule: Schedule, after: float, count: int) -> list[Firing]:
    """Return the next firings, each with its jitter."""
    return [_tick(name, schedule, scheduled) for scheduled in islice(times(schedule, after), count)]


def _tick(name: str, schedule: Schedule, scheduled: float) -> Firing:
    return Firing(scheduled=scheduled, at=scheduled + jitter(name, scheduled, schedule.jitter))


def due(name: str, schedule: Schedule, last: float, now: float) -> list[Firing]:
    """Return every firing after `last` whose moment has come, the oldest first, with what its policy makes of it.

    None overtakes the one before it, whatever their jitters.
    """
    moments = times(schedule, max(last, now - HORIZON))
    come = takewhile(lambda firing: firing.at <= now, (_tick(name, schedule, moment) for moment in moments))
    found = deque(come, maxlen=REPLAYED)
    return [_judged(schedule, firing, firing is found[-1], now) for firing in found]


def _judged(schedule: Schedule, firing: Firing, is_newest: bool, now: float) -> Firing:
    late = now - firing.at
    missed = None
    if schedule.starting_deadline is not None and late > max(schedule.starting_deadline, ON_TIME):
        missed = f"{late:.0f} s late, and its starting_deadline is {schedule.starting_deadline:g} s"
    elif late > ON_TIME and schedule.catch_up == "none":
        missed = f"{late:.0f} s late, and catch_up is none"
    elif late > ON_TIME and schedule.catch_up == "latest" and not is_newest:
        missed = f"{late:.0f} s late, and catch_up runs the latest only"
    return Firing(scheduled=firing.scheduled, at=firing.at, missed=missed)


ConcurrencyDecision = Literal["start", "skip", "wait", "replace"]


def concurrency_decision(schedule: Schedule, running: Sequence[str]) -> ConcurrencyDecision:
    """Decide what a firing does about jobs of earlier ones that have not ended.

    `catch_up: all` promises a job for every firing, so there `forbid` makes it wait instead of skipping it.
    """
    if not running or schedule.concurrency == "allow":
        return "start"
    if schedule.concurrency == "replace":
        return "replace"
    return "wait" if schedule.catch_up == "all" else "skip"


def text(schedule: Schedule, scheduled: float) -> str:
    """Return `${scheduled_time}`: ISO 8601 in the schedule's zone, such as 2026-11-25T02:00:00+09:00."""
    return datetime.fromtimestamp(round(scheduled), ZoneInfo(schedule.time_zone)).isoformat()
