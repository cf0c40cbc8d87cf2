"""`ganworks up` as the tests see it: its command line, its processes, its store."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import psutil

from jobs.store import Store, open_store
from orchestrator.cli.client import Client
from orchestrator.local import processes, record
from tests.support import weed

# Seconds that anything may take here: a test fails for what it sees, and a machine may be six times busier than its own.
PATIENCE = 1000.0
GANWORKS = [str(Path(sys.executable).with_name("ganworks"))]  # the installed command


class TheWorks:
    def __init__(self, home: Path, s3: weed.S3Server) -> None:
        self.home, self.s3 = home, s3
        self._client: Client | None = None
        self.store_uri = f"s3://{weed.BUCKET}/store"
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RAY_"))},
            **s3.env,
            "GANWORKS_HOME": str(home),
            "GANWORKS_STORE": self.store_uri,
            "GANWORKS_STALLED_AFTER": "15",
            "GANWORKS_HEARTBEAT_SECONDS": "2",
        }

    def ganworks(self, *arguments: str, timeout: float = PATIENCE, **env: str) -> subprocess.CompletedProcess[str]:
        """Run the command line."""
        return subprocess.run(
            [*GANWORKS, *arguments], env={**self.env, **env}, capture_output=True, text=True, timeout=timeout
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Begin a command that stays."""
        return subprocess.Popen(
            [*GANWORKS, *arguments], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def up(self, *options: str) -> None:
        port = processes.free_ports(1)[0]
        done = self.ganworks("up", "--port", str(port), *options)
        assert done.returncode == 0, done.stderr + self.log("keeper.log") + self.log("server.log")

    def down(self) -> None:
        if self._client:
            self._client.close()
        done = self.ganworks("down")
        assert done.returncode == 0, done.stderr
        assert not list(processes.marked(self.stack)), "processes are left"

    @property
    def record(self) -> record.Record:
        kept = record.read(self.home)
        assert kept
        self._stack = kept.stack
        return kept

    @property
    def stack(self) -> str:
        try:
            return self.record.stack
        except AssertionError:
            return self._stack

    @property
    def address(self) -> str:
        return self.record.ray_url

    @property
    def token_path(self) -> Path:
        return self.home / "ray-token"

    @property
    def token(self) -> str:
        return (self.home / "token").read_text().strip()

    @property
    def client(self) -> Client:
        if self._client is None or self._client.url != self.record.url:
            self._client = Client(self.record.url, self.token)
        return self._client

    @cached_property
    def store(self) -> Store:
        return open_store(self.store_uri, env=self.s3.env)

    def log(self, name: str) -> str:
        path = self.home / name
        return path.read_text(errors="replace")[-4000:] if path.exists() else ""

    def submit(self, text: str, folder: Path, **parameters: str) -> list[str]:
        """Submit a YAML text; returns the jobs' ids."""
        file = folder / "jobs.yaml"
        file.write_text(text)
        options = [word for name, value in parameters.items() for word in ("-p", f"{name}={value}")]
        done = self.ganworks("submit", str(file), "-o", "json", *options)
        assert done.returncode == 0, done.stderr
        return [job["id"] for job in json.loads(done.stdout)["jobs"]]

    def job(self, job_id: str) -> dict[str, Any]:
        return self.client.get(f"/jobs/{job_id}")

    def events(self, job_id: str) -> list[dict[str, Any]]:
        return self.client.get(f"/jobs/{job_id}/events")["events"]

    def wait(self, job_id: str, until: Callable[[dict[str, Any]], Any], within: float = PATIENCE) -> dict[str, Any]:
        """Until a condition of the job holds; fails with its story if it never does."""
        deadline = time.monotonic() + within
        while True:
            try:
                job = self.job(job_id)
            except Exception:  # the server may be away: some tests kill it
                job = None
            if job and until(job):
                return job
            if time.monotonic() > deadline:
                raise AssertionError(self.story(job_id))
            time.sleep(0.2)

    def wait_ended(self, job_id: str, within: float = PATIENCE) -> dict[str, Any]:
        return self.wait(job_id, lambda job: job["status"] in ("SUCCEEDED", "FAILED", "CANCELLED"), within)

    def jobs(self) -> list[dict[str, Any]]:
        return self.client.get("/jobs", limit=1000)["jobs"]

    def metrics(self) -> str:
        token = (self.home / "scrape-token").read_text().strip()
        answer = httpx.get(f"{self.record.url}/metrics", headers={"Authorization": f"Bearer {token}"}, timeout=30)
        answer.raise_for_status()
        return answer.text

    @staticmethod
    def wait_for(condition: Callable[[], Any], within: float = PATIENCE) -> Any:
        deadline = time.monotonic() + within
        while not (value := condition()):
            assert time.monotonic() < deadline, "it did not come about"
            time.sleep(0.2)
        return value

    def story(self, job_id: str) -> str:
        events = "\n".join(f"{event['type']}: {event['message']}" for event in self.events(job_id))
        return (
            f"{json.dumps(self.job(job_id), indent=1)[:3000]}\n{events}\n{self.ganworks('logs', job_id).stdout[-3000:]}"
        )

    def kill_server(self) -> None:
        for process in self.find("orchestrator.serve"):
            process.kill()

    def kill_ray(self) -> None:
        """All of it at once: head, dashboard, raylet, driver, ranks."""
        server = {process.pid for process in self.find("orchestrator.serve")}
        for process in processes.marked(self.stack):
            if process.pid not in server:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()

    def find(self, *words: str) -> list[psutil.Process]:
        """The stack's processes whose command line has all these words."""
        return [process for process in processes.marked(self.stack) if all(w in _title(process) for w in words)]

    def driver(self, attempt_id: str) -> psutil.Process:
        (driver,) = [
            p
            for p in self.find("jobs.run")
            if _environ(p).get("GANWORKS_ATTEMPT") == attempt_id and "-P" in p.cmdline()
        ]
        return driver

    def ranks(self) -> list[psutil.Process]:
        return self.find("RayTrainWorker")


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _environ(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}
