"""Assessments of attempts, beyond what the scenarios of test_supervisor play."""

from dataclasses import replace

import pytest

from orchestrator.policies.liveness import Adopt, Driver, Ended, Fine, Kill, Lost, Release, Submit, assess, assess_ended
from orchestrator.records import Attempt
from orchestrator.settings import Settings

NOW = 10_000.0
RUNNING, GONE = Driver(status="RUNNING"), Driver(status="FAILED", message="exit code 1")
SETTINGS = Settings(token="t")
STARTING = Attempt(
    id="job-1",
    job_id="job",
    number=1,
    workers=1,
    cpus_per_worker=1,
    gpus_per_worker=0,
    placement={"n": 1},
    status="STARTING",
    created=NOW - 5,
    submitted=NOW - 4,
)
ALIVE = replace(STARTING, status="RUNNING", started=NOW - 3, heartbeat=NOW - 1, progressed=NOW - 1)


@pytest.mark.parametrize(
    ("attempt", "drivers", "assessment"),
    [
        (ALIVE, {"job-1": RUNNING}, Fine()),
        (ALIVE, None, Fine()),
        (ALIVE, {}, Fine()),
        (ALIVE, {"job-1": GONE}, Ended()),
        (STARTING, {}, Submit()),
        (STARTING, None, Fine()),
        (replace(STARTING, submitted=None), {"job-1": RUNNING}, Adopt()),
        (replace(STARTING, stop_asked=NOW), {"job-1": RUNNING}, Kill()),
        (replace(ALIVE, stop_asked=NOW - 50), {"job-1": RUNNING}, Fine()),
        (replace(ALIVE, stop_asked=NOW - 70), {"job-1": RUNNING}, Kill()),
    ],
)
def test_assessments(attempt: Attempt, drivers: dict[str, Driver] | None, assessment: object) -> None:
    assert assess(attempt, drivers, SETTINGS, NOW, since=0) == assessment


def test_what_ray_says_is_cut_to_what_matters() -> None:
    message = "Job failed with exit code 1, last available logs (truncated):\n  File x\n    y()\nValueError: no data\n"
    ended = replace(ALIVE, driver_ended=NOW - 10)
    assessment = assess(ended, {"job-1": Driver(status="FAILED", message=message)}, SETTINGS, NOW, since=0)
    assert isinstance(assessment, Lost)
    assert assessment.message.endswith("Ray says FAILED: Job failed with exit code 1; ValueError: no data")


def test_no_deadline_began_before_the_server_did() -> None:
    silent = replace(ALIVE, heartbeat=NOW - 500, progressed=NOW - 500)
    assert isinstance(assess(silent, {"job-1": RUNNING}, SETTINGS, NOW, since=0), Lost)
    assert assess(silent, {"job-1": RUNNING}, SETTINGS, NOW, since=NOW - 30) == Fine()


@pytest.mark.parametrize(
    ("status", "ended", "drivers", "assessment"),
    [
        ("SUCCEEDED", NOW - 1, {"job-1": GONE}, Release()),
        ("SUCCEEDED", NOW - 1, {}, Release()),
        ("SUCCEEDED", NOW - 1, {"job-1": RUNNING}, Fine()),
        ("SUCCEEDED", NOW - 20, {"job-1": RUNNING}, Kill()),
        ("LOST", NOW - 1, {"job-1": RUNNING}, Kill()),
        ("LOST", NOW - 1, None, Fine()),
        ("LOST", NOW - 100, None, Release()),
    ],
)
def test_places_are_kept_until_the_end_is_sure(
    status: str, ended: float, drivers: dict[str, Driver] | None, assessment: object
) -> None:
    attempt = replace(ALIVE, status=status, ended=ended, reserved_until=ended + 90)
    assert assess_ended(attempt, drivers, NOW) == assessment
