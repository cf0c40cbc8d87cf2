"""Faults at random for an hour (GANWORKS_SOAK_MINUTES): every job ends, and with the weights of the run that nobody disturbed.

Run by hand: make soak
"""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.acceptance.test_survival import TRAIN, weights
from tests.support.works import TheWorks

MINUTES = float(os.environ.get("GANWORKS_SOAK_MINUTES", "60"))
SEED = int(os.environ.get("GANWORKS_SOAK_SEED", "0"))
PAUSE = (5.0, 45.0)  # seconds between two faults
SPEC = TRAIN.replace("limit: 6", "limit: 60")


def a_rank(works: TheWorks, job: dict[str, Any]) -> None:
    for process in works.ranks()[:1]:
        process.kill()


def its_driver(works: TheWorks, job: dict[str, Any]) -> None:
    works.driver(f"{job['id']}-{job['attempt']}").kill()


def its_driver_stands_still(works: TheWorks, job: dict[str, Any]) -> None:
    works.driver(f"{job['id']}-{job['attempt']}").send_signal(signal.SIGSTOP)


def the_orchestrator(works: TheWorks, job: dict[str, Any]) -> None:
    works.kill_server()


def all_of_ray(works: TheWorks, job: dict[str, Any]) -> None:
    works.kill_ray()


FAULTS: list[Callable[[TheWorks, dict[str, Any]], None]] = [
    a_rank, its_driver, its_driver_stands_still, the_orchestrator, all_of_ray,
]  # fmt: skip


@pytest.mark.timeout(MINUTES * 60 + 1800)
def test_every_job_ends_as_if_nothing_had_happened(works: TheWorks, tmp_path: Path) -> None:
    chance, until, faults, jobs = random.Random(SEED), time.monotonic() + MINUTES * 60, 0, 0
    (calm,) = works.submit(SPEC.replace("NAME", "soak-calm"), tmp_path)
    expected = weights(works, works.wait_ended(calm))
    while time.monotonic() < until:
        (job_id,) = works.submit(SPEC.replace("NAME", f"soak-{jobs}"), tmp_path)
        faults += disturb(works, job_id, chance)
        job = works.wait_ended(job_id, within=600)
        assert job["status"] == "SUCCEEDED", works.story(job_id)
        assert weights(works, job) == expected, works.story(job_id)
        jobs += 1
        print(f"{jobs} jobs, {faults} faults, {job['attempt']} attempts in the last", flush=True)


def disturb(works: TheWorks, job_id: str, chance: random.Random) -> int:
    """Three faults at random moments; returns how many found something to hit."""
    hit = 0
    for _ in range(3):
        time.sleep(chance.uniform(*PAUSE))
        job = works.wait(
            job_id, lambda job: job["status"] in ("STARTING", "RUNNING", "SUCCEEDED", "FAILED"), within=300
        )
        if job["status"] in ("SUCCEEDED", "FAILED"):
            return hit
        fault = chance.choice(FAULTS)
        print(f"{job['name']}: {fault.__name__}", flush=True)
        with contextlib.suppress(psutil.NoSuchProcess, ValueError):  # it may have ended meanwhile
            fault(works, job)
            hit += 1
    return hit
