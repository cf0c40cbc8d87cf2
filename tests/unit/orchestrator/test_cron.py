"""When schedules fire: both DST edges, month ends, leap days, outages, clock steps, and every policy."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.specs.spec import Schedule
from orchestrator.policies import cron

BERLIN, TOKYO, HOWE = "Europe/Berlin", "Asia/Tokyo", "Australia/Lord_Howe"


def moment(text: str, zone: str = "UTC", fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def timing(line: str = "0 * * * *", zone: str = "UTC", **more: object) -> Schedule:
    return Schedule.model_validate({"cron": line, "time_zone": zone, **more})


TABLE = [
    # an ordinary day, in a zone of its own
    ("0 2 * * *", TOKYO, "2026-04-05T00:55", 0, ["2026-04-05T02:00:00+09:00", "2026-04-06T02:00:00+09:00"]),
    # spring: the hour from 2 to 3 is missing; a firing in it comes when it is over, and once
    ("30 2 * * *", BERLIN, "2026-03-28T12:00", 0, ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]),
    ("15,45 2 * * *", BERLIN, "2026-03-29T00:30", 0, ["2026-03-29T03:00:00+02:00", "2026-03-30T02:15:00+02:00"]),
    ("0 1-4 * * *", BERLIN, "2026-03-29T00:30", 0,
     ["2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T04:00:00+02:00"]),
    ("*/30 * * * *", BERLIN, "2026-03-29T01:00", 0, ["2026-03-29T01:30:00+01:00", "2026-03-29T03:00:00+02:00"]),
    ("0 0 * * *", "America/Sao_Paulo", "2018-11-03T00:00", 0, ["2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"]),
    # autumn: the hour from 2 to 3 comes twice; a fixed time comes once, a repetition goes on through both
    ("30 2 * * *", BERLIN, "2026-10-24T12:00", 0, ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]),
    ("30 2 * * *", BERLIN, "2026-10-25T02:30", 0, ["2026-10-26T02:30:00+01:00"]),
    ("30 2 * * *", BERLIN, "2026-10-25T02:10", 1, ["2026-10-26T02:30:00+01:00"]),
    ("30 2 * * *", BERLIN, "2026-10-25T02:45", 1, ["2026-10-26T02:30:00+01:00"]),
    ("*/30 * * * *", BERLIN, "2026-10-25T02:00", 0,
     ["2026-10-25T02:30:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T02:30:00+01:00", "2026-10-25T03:00:00+01:00"]),
    ("0 * * * *", BERLIN, "2026-10-25T01:30", 0,
     ["2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"]),
    # a zone that shifts by half an hour
    ("30 1 * * *", HOWE, "2026-04-04T12:00", 0, ["2026-04-05T01:30:00+11:00", "2026-04-06T01:30:00+10:30"]),
    # month ends and leap days
    ("0 0 31 * *", "UTC", "2026-01-31T00:00", 0, ["2026-03-31T00:00:00+00:00", "2026-05-31T00:00:00+00:00"]),
    ("0 0 30 * *", "UTC", "2026-01-30T00:00", 0, ["2026-03-30T00:00:00+00:00"]),
    ("0 0 L * *", "UTC", "2028-01-31T00:00", 0, ["2028-02-29T00:00:00+00:00", "2028-03-31T00:00:00+00:00"]),
    ("0 0 29 2 *", "UTC", "2026-01-31T00:00", 0, ["2028-02-29T00:00:00+00:00", "2032-02-29T00:00:00+00:00"]),
    ("59 23 31 12 *", "UTC", "2026-06-01T00:00", 0, ["2026-12-31T23:59:00+00:00"]),
    # days of week, 7 is Sunday too; a set day of month OR a set day of week, as cron has it
    ("0 12 * * MON-FRI", "UTC", "2026-11-27T13:00", 0, ["2026-11-30T12:00:00+00:00"]),
    ("0 12 * * 7", "UTC", "2026-11-25T13:00", 0, ["2026-11-29T12:00:00+00:00"]),
    ("0 12 1 * MON", "UTC", "2026-11-25T13:00", 0, ["2026-11-30T12:00:00+00:00", "2026-12-01T12:00:00+00:00"]),
]  # fmt: skip


@pytest.mark.parametrize(("line", "zone", "after", "fold", "expected"), TABLE)
def test_times(line: str, zone: str, after: str, fold: int, expected: list[str]) -> None:
    schedule = timing(line, zone)
    firings = cron.coming("s", schedule, moment(after, zone, fold), len(expected))
    assert [cron.text(schedule, firing.scheduled) for firing in firings] == expected


def outcomes(schedule: Schedule, last: str, now: str) -> list[tuple[str, bool]]:
    firings = cron.due("s", schedule, moment(last), moment(now))
    return [(cron.text(schedule, firing.scheduled)[11:16], firing.missed is None) for firing in firings]


OUTAGES = [
    # on time
    ({}, "T09:00", "T09:59:59", []),
    ({}, "T09:00", "T10:00", [("10:00", True)]),
    ({"catch_up": "none"}, "T09:00", "T10:00:14", [("10:00", True)]),
    ({"catch_up": "none", "starting_deadline": "0"}, "T09:00", "T10:00:01", [("10:00", True)]),
    ({"catch_up": "none"}, "T09:00", "T10:00:44", [("10:00", False)]),
    # away for one firing, and for several
    ({"catch_up": "none"}, "T09:00", "T10:30", [("10:00", False)]),
    ({"catch_up": "latest"}, "T09:00", "T10:30", [("10:00", True)]),
    ({"catch_up": "all"}, "T09:00", "T10:30", [("10:00", True)]),
    ({"catch_up": "none"}, "T09:00", "T12:30", [("10:00", False), ("11:00", False), ("12:00", False)]),
    ({"catch_up": "latest"}, "T09:00", "T12:30", [("10:00", False), ("11:00", False), ("12:00", True)]),
    ({"catch_up": "all"}, "T09:00", "T12:30", [("10:00", True), ("11:00", True), ("12:00", True)]),
    # back just on a firing: that one is on time for everybody
    ({"catch_up": "none"}, "T09:00", "T12:00", [("10:00", False), ("11:00", False), ("12:00", True)]),
    # the deadline goes before the policy
    ({"catch_up": "all", "starting_deadline": "2h"}, "T09:00", "T12:30",
     [("10:00", False), ("11:00", True), ("12:00", True)]),
    ({"catch_up": "latest", "starting_deadline": "10m"}, "T09:00", "T12:30",
     [("10:00", False), ("11:00", False), ("12:00", False)]),
    # a clock that stepped back
    ({}, "T12:00", "T11:00", []),
]  # fmt: skip


@pytest.mark.parametrize(("policy", "last", "now", "expected"), OUTAGES)
def test_outages(policy: dict, last: str, now: str, expected: list[tuple[str, bool]]) -> None:
    assert outcomes(timing(**policy), f"2026-11-25{last}", f"2026-11-25{now}") == expected


def test_an_outage_over_the_missing_hour_runs_what_fell_into_it() -> None:
    schedule = timing("30 2 * * *", BERLIN)
    firings = cron.due("s", schedule, moment("2026-03-28T12:00", BERLIN), moment("2026-03-29T09:00", BERLIN))
    assert [(cron.text(schedule, firing.scheduled), firing.missed) for firing in firings] == [
        ("2026-03-29T03:00:00+02:00", None)
    ]


def test_a_year_away_is_bounded() -> None:
    firings = cron.due("s", timing("*/10 * * * *", catch_up="all"), 0, moment("2026-11-25T09:00"))
    assert len(firings) == cron.REPLAYED
    assert firings[-1].scheduled == moment("2026-11-25T09:00")


TURNS = [
    ("allow", "latest", "start"), ("forbid", "latest", "skip"), ("forbid", "none", "skip"), ("forbid", "all", "wait"),
    ("replace", "latest", "replace"), ("replace", "all", "replace"),
]  # fmt: skip


@pytest.mark.parametrize(("concurrency", "catch_up", "decision"), TURNS)
def test_turns(concurrency: str, catch_up: str, decision: str) -> None:
    schedule = timing(concurrency=concurrency, catch_up=catch_up)
    assert cron.concurrency_decision(schedule, ["an earlier job"]) == decision
    assert cron.concurrency_decision(schedule, []) == "start"


@given(st.text(max_size=5), st.floats(0, 4e9), st.floats(0, 1e5))
def test_jitter_is_bounded_and_the_same_on_every_replay(name: str, scheduled: float, longest: float) -> None:
    seconds = cron.jitter(name, scheduled, longest)
    assert 0 <= seconds <= longest
    assert seconds == cron.jitter(name, scheduled, longest)


def test_a_tick_waits_for_its_jitter_and_none_overtakes() -> None:
    schedule = timing("* * * * *", jitter="10m", catch_up="all")
    begin, seen, last = moment("2026-11-25T09:00"), [], moment("2026-11-25T09:00")
    for second in range(0, 3600, 7):
        for firing in cron.due("s", schedule, last, begin + second):
            assert firing.at <= begin + second
            seen.append(firing.scheduled)
            last = firing.scheduled
    assert seen == sorted(set(seen))
    assert len(seen) >= 45


@settings(deadline=None)
@given(st.floats(0, 86400 * 3), st.lists(st.floats(1, 86400), min_size=1, max_size=8))
def test_however_often_one_looks_the_ticks_are_the_same(start: float, gaps: list[float]) -> None:
    """`all` over any series of looks gives what one look at the end gives."""
    schedule, last = timing("*/37 * * * *", BERLIN, catch_up="all"), moment("2026-10-24T00:00") + start
    begin, now, seen = last, last, []
    for gap in gaps:
        now += gap
        for firing in cron.due("s", schedule, last, now):
            seen.append(firing.scheduled)
            last = firing.scheduled
    assert seen == [firing.scheduled for firing in cron.due("s", schedule, begin, now)]


WRONG = [
    ("0 2 * *", "UTC", "cron: five fields are expected"),
    ("0 0 2 * * *", "UTC", "cron: five fields are expected"),
    ("61 2 * * *", "UTC", "cron: Bad minute"),
    ("0 2 30 2 *", "UTC", "cron: Bad day-of-month"),
    ("0 2 * * *", "Europe/Berln", "time_zone: unknown 'Europe/Berln'; did you mean 'Europe/Berlin'?"),
]


@pytest.mark.parametrize(("line", "zone", "said"), WRONG)
def test_what_is_wrong_with_a_schedule(line: str, zone: str, said: str) -> None:
    assert (cron.problem(timing(line, zone)) or "").startswith(said)
