"""Faults at random for an hour over trainings, generations and schedules on real Ray, and a checker over all that was noted.

Processes killed and stopped, the store away or refusing, the database locked, the server's clock set. Run by hand:

    make soak        # or: GANWORKS_SOAK_MINUTES=10 GANWORKS_SOAK_SEED=3 pytest -s tests/soak/test_faults.py
"""

import contextlib
import json
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from jobs.store import open_store
from orchestrator.local import ray_head
from tests.support import history, weed
from tests.support.faults import FaultProxy
from tests.support.history import Fault
from tests.support.works import TheWorks, _environ

MINUTES = float(os.environ.get("GANWORKS_SOAK_MINUTES", "60"))
SEED = int(os.environ.get("GANWORKS_SOAK_SEED", "0"))
PAUSE = (5.0, 35.0)  # seconds between two faults
SKEWED = Path(__file__).parents[1] / "support" / "skewed"  # its sitecustomize.py sets the server's clock

RETRY = "retry: {limit: 90, backoff: 1s, rules: [{failure: stalled, action: ignore}]}\n"
MODEL = "model: {family: dcgan, params: {base_channels: 8, ema: {half_life: 500}}}\ndata: {source: shapes, resolution: 16}\n"
TRAIN = f"""kind: train
name: NAME
{MODEL}train: {{examples: 60k, batch_size: 64, seed: 3, checkpoint: {{every: 2k, keep: 3}}, grids: {{every: 20k, count: 4}}}}
resources: {{workers: 2}}
{RETRY}"""
GENERATE = f"""kind: generate
name: NAME
model: {{from: calm}}
samples: 12k
sampling: {{seed: 5}}
output: {{samples_per_shard: 500}}
resources: {{workers: 1}}
{RETRY}"""
SMALL = GENERATE.replace("12k", "1k")
SCHEDULES = {
    "beat": SMALL + 'schedule: {cron: "* * * * *", concurrency: forbid}\n',
    "swap": SMALL + 'schedule: {cron: "*/3 * * * *", concurrency: replace, catch_up: none}\n',
    "tide": SMALL + 'schedule: {cron: "*/4 * * * *", concurrency: allow, catch_up: all}\n',
}


class Storm:
    """The works, what breaks it, and a record of what was done to which attempt."""

    def __init__(self, home: Path, s3: weed.S3Server, chance: random.Random) -> None:
        self.chance, self.faults = chance, list[Fault]()
        self.outage: Callable[[], str | None] = lambda: None
        self.proxy = FaultProxy(s3.endpoint, lambda *_: self.outage())
        self.works = TheWorks(home, weed.S3Server(endpoint=self.proxy.url, process=s3.process))
        self.direct = open_store(self.works.store_uri, env=s3.env)
        self.skew = home / "skew"
        self.works.env |= {
            "GANWORKS_STALLED_AFTER": "40",
            "GANWORKS_PROGRESS_STALLED_AFTER": "240",  # a busy machine begins slowly
            "GANWORKS_HEARTBEAT_SECONDS": "3",
            "GANWORKS_TEST_SKEW": str(self.skew),
            "PYTHONPATH": os.pathsep.join([str(SKEWED), *filter(None, [os.environ.get("PYTHONPATH")])]),
        }
        self._waking: list[threading.Timer] = []

    # --- what there is

    @property
    def database(self) -> Path:
        return self.works.home / "ganworks.db"

    def ask(self, statement: str, *values: Any) -> list[Any]:
        """Ask the database itself: the server may be away."""
        with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=60)) as connection:
            return connection.execute(statement, values).fetchall()

    def alive(self) -> set[str]:
        return {id for (id,) in self.ask("SELECT id FROM attempts WHERE status IN ('STARTING', 'RUNNING')")}

    def is_over(self, job_id: str) -> bool:
        return self.ask("SELECT ended FROM jobs WHERE id = ?", job_id)[0][0] is not None

    def submit(self, text: str, folder: Path) -> str:
        """Submit until it is taken; the same again is the same job."""
        deadline = time.monotonic() + 180
        while True:
            try:
                return (self.works.submit(text, folder) or [""])[0]
            except AssertionError:
                if time.monotonic() > deadline:
                    raise

    @contextlib.contextmanager
    def blamed(self, name: str, failures: set[str] | None = None, only: str | None = None) -> Iterator[None]:
        """Whatever fails of what lives meanwhile may have failed of this. `failures`: as what; None: as anything."""
        (seq,) = self.ask("SELECT coalesce(max(seq), 0) FROM events")[0]
        print(f"{time.strftime('%H:%M:%S')} {name} {only or ''}", flush=True)
        yield
        ended = self.ask("SELECT job_id, attempt FROM events WHERE seq > ? AND type = 'attempt_ended'", seq)
        lived = self.alive() | {f"{job}-{number}" for job, number in ended}
        victims = frozenset({only} if only else lived) if failures != set() else frozenset()
        self.faults.append(
            Fault(name=name, attempts=victims, failures=None if failures is None else frozenset(failures))
        )

    def of(self, process: psutil.Process) -> str | None:
        return _environ(process).get("GANWORKS_ATTEMPT")

    def pick(self, *words: str) -> psutil.Process | None:
        found = self.works.find(*words)
        return self.chance.choice(found) if found else None

    def wake(self, process: psutil.Process, seconds: float) -> None:
        """SIGCONT after a while, when it is late."""

        def cont() -> None:
            with contextlib.suppress(psutil.Error):
                process.resume()

        timer = threading.Timer(seconds, cont)
        timer.start()
        self._waking.append(timer)

    def calm(self) -> None:
        self.outage = lambda: None
        for timer in self._waking:
            timer.join()

    # --- what is done to it

    def a_rank_is_killed(self) -> None:
        if process := self.pick("RayTrainWorker"):
            with self.blamed("a rank is killed", only=self.of(process)):
                process.kill()

    def a_rank_stands_still(self) -> None:
        if process := self.pick("RayTrainWorker"):
            with self.blamed("a rank stands still", only=self.of(process)):
                process.suspend()
                self.wake(process, self.chance.choice((10, 300)))

    def a_worker_of_a_generation_is_killed(self) -> None:
        if process := self.pick("ray::", "MapWorker"):
            with self.blamed("a worker of a generation is killed", only=self.of(process)):
                process.kill()

    def a_driver_is_killed(self) -> None:
        if process := self.pick("-m", "jobs.run"):
            with self.blamed("a driver is killed", only=self.of(process)):
                process.kill()

    def a_driver_stands_still(self) -> None:
        if process := self.pick("-m", "jobs.run"):
            with self.blamed("a driver stands still", only=self.of(process)):
                process.suspend()
                self.wake(process, self.chance.choice((10, 75)))

    def all_of_ray_is_killed(self) -> None:
        with self.blamed("all of Ray is killed"):
            self.works.kill_ray()
            record = self.works.record
            self.works.wait_for(lambda: ray_head.answers(self.works.home, record.ray_ports), within=180)
            time.sleep(10)  # what was submitted to the old one, or to one half started

    def the_server_is_killed(self) -> None:
        with self.blamed("the server is killed", failures=set()):
            self.works.kill_server()

    def the_server_stands_still(self) -> None:
        with self.blamed("the server stands still", failures=set()):
            for process in self.works.find("orchestrator.serve"):
                process.suspend()
                time.sleep(self.chance.uniform(5, 60))
                process.resume()

    def the_store_is_away(self) -> None:
        verdict = self.chance.choice(("503", "reset", "cut", "portal"))
        with self.blamed(f"the store is away ({verdict})", failures={"storage"}):
            self.outage = lambda: verdict
            time.sleep(self.chance.uniform(5, 60))
            self.outage = lambda: None

    def the_store_refuses_now_and_then(self) -> None:
        with self.blamed("the store refuses now and then", failures={"storage"}):
            self.outage = lambda: random.choice(("503", "reset", "cut", None, None, None, None))
            time.sleep(self.chance.uniform(20, 60))
            self.outage = lambda: None

    def the_database_is_locked(self) -> None:
        with self.blamed("the database is locked", failures=set()):
            other = sqlite3.connect(self.database, isolation_level=None, timeout=30)
            with contextlib.closing(other), contextlib.suppress(sqlite3.OperationalError):
                other.execute("BEGIN IMMEDIATE")
                time.sleep(self.chance.uniform(5, 75))
                other.execute("ROLLBACK")

    def the_clock_is_set(self) -> None:
        with self.blamed("the clock is set", failures=set()):
            now = float(self.skew.read_text()) if self.skew.exists() else 0.0
            by = self.chance.choice((-3600.0, -90.0, 45.0, 90.0, 300.0, 3600.0)) if abs(now) < 4000 else -now
            half = self.skew.with_suffix(".new")
            half.write_text(str(now + by))
            half.replace(self.skew)


FAULTS: list[Callable[[Storm], None]] = [
    Storm.a_rank_is_killed, Storm.a_rank_stands_still, Storm.a_worker_of_a_generation_is_killed, Storm.a_driver_is_killed,
    Storm.a_driver_stands_still, Storm.all_of_ray_is_killed, Storm.the_server_is_killed, Storm.the_server_stands_still,
    Storm.the_store_is_away, Storm.the_store_refuses_now_and_then, Storm.the_database_is_locked, Storm.the_clock_is_set,
]  # fmt: skip


@pytest.fixture
def storm(s3_server: weed.S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storm]:
    storm = Storm(tmp_path_factory.mktemp("storm"), s3_server, random.Random(SEED))
    storm.works.up("--cpus", "4")
    yield storm
    storm.calm()
    storm.works.down()
    storm.proxy.stop()


@pytest.mark.timeout(MINUTES * 60 + 5400)
def test_every_job_ends_as_if_nothing_had_happened(storm: Storm, tmp_path: Path) -> None:
    works = storm.works
    calm = {name: storm.submit(text.replace("NAME", name), tmp_path) for name, text in (("calm", TRAIN),)}
    assert works.wait_ended(calm["calm"], within=600)["status"] == "SUCCEEDED", works.story(calm["calm"])
    for name, text in (("calm-large", GENERATE), ("calm-small", SMALL)):
        calm[name] = storm.submit(text.replace("NAME", name), tmp_path)
        assert works.wait_ended(calm[name], within=600)["status"] == "SUCCEEDED", works.story(calm[name])
    for name, text in SCHEDULES.items():
        storm.submit(text.replace("NAME", name), tmp_path)
    twins = rage(storm, tmp_path, calm)
    storm.calm()
    for name in SCHEDULES:
        works.wait_for(lambda name=name: works.ganworks("cron", "suspend", name).returncode == 0, within=120)
    works.wait_for(lambda: not storm.ask("SELECT id FROM jobs WHERE ended IS NULL"), within=1800)
    verdict(storm, twins, calm)


def rage(storm: Storm, folder: Path, calm: dict[str, str]) -> dict[str, str]:
    """One fault after another, over a training and a generation at any time; returns the twin of each job."""
    until, twins, running = time.monotonic() + MINUTES * 60, dict[str, str](), dict[str, str]()
    while time.monotonic() < until:
        for kind, text, twin in (("train", TRAIN, "calm"), ("generate", GENERATE, "calm-large")):
            if kind not in running or storm.is_over(running[kind]):
                running[kind] = storm.submit(text.replace("NAME", f"{kind}-{len(twins)}"), folder)
                twins[running[kind]] = calm[twin]
        time.sleep(storm.chance.uniform(*PAUSE))
        with contextlib.suppress(psutil.NoSuchProcess):  # it may have ended meanwhile
            storm.chance.choice(FAULTS)(storm)
    return twins


def verdict(storm: Storm, twins: dict[str, str], calm: dict[str, str]) -> None:
    log = (storm.works.home / "server.log").read_text(errors="replace")
    whole = history.read(storm.database, storm.direct, faults=storm.faults, twins=twins, log=log)
    made = [job for job in whole.jobs if job["schedule"] and job["status"] == "SUCCEEDED"]
    whole.twins = {**twins, **{job["id"]: calm["calm-small"] for job in made}}
    found = history.findings(whole)
    told = {"minutes": MINUTES, "seed": SEED, **history.counts(whole), "findings": found}
    print(json.dumps(told, indent=1), flush=True)
    print(f"verdict: {'sound' if not found else f'{len(found)} findings'}", flush=True)
    assert not found
    for kind in ("train", "generate"):
        assert any(job["kind"] == kind and job["attempt"] > 1 for job in whole.jobs), f"no {kind} was disturbed"
