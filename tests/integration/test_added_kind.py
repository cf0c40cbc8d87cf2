"""A kind of job that only this test knows goes the whole way: its row and its driver are all there is of it.

A real server on a socket, real drivers as processes, the real command line; only Ray is not there.
"""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from jobs import kinds
from orchestrator.serve import application, open_server
from orchestrator.settings import Settings
from tests.support.echo_kind import ECHO
from tests.support.process_cluster import ProcessCluster

SECONDS = 60
GANWORKS = """
from jobs import kinds
from orchestrator.cli import main
from tests.support.echo_kind import ECHO

kinds.register(ECHO)
main()
"""
DRIVER = f"{sys.executable} -m tests.support.echo_driver"


@dataclass
class House:
    url: str
    settings: Settings
    cluster: ProcessCluster

    def ganworks(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command line of an installation that knows the kind."""
        env = {**os.environ, "GANWORKS_URL": self.url, "GANWORKS_TOKEN": self.settings.token}
        command = [sys.executable, "-c", GANWORKS, *arguments]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=SECONDS)

    def get(self, path: str) -> httpx.Response:
        answer = httpx.get(self.url + path, headers={"Authorization": f"Bearer {self.settings.token}"})
        assert answer.is_success, answer.text
        return answer


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setenv("GANWORKS_HOME", str(tmp_path / "driver"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    listening = socket.create_server(("127.0.0.1", 0))
    settings = Settings(
        home=tmp_path, port=listening.getsockname()[1], token="t" * 40, scrape_token="s" * 40, entrypoint=DRIVER,
        step_seconds=0.1, heartbeat_seconds=0.2,
    )  # fmt: skip
    cluster = ProcessCluster(tmp_path)
    kinds.register(ECHO)
    server = uvicorn.Server(uvicorn.Config(application(open_server(settings, cluster)), log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield House(settings.advertised, settings, cluster)
    server.should_exit = True
    thread.join()
    cluster.close()
    listening.close()
    kinds.unregister(ECHO)


def until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def test_an_echo_job_goes_through_the_whole_house(house: House, tmp_path: Path) -> None:
    go = tmp_path / "go"
    spec = tmp_path / "echo.yaml"
    spec.write_text(f"kind: echo\nname: hello\ntext: hello there\nuntil: {go}\n")
    assert house.ganworks("validate", str(spec)).returncode == 0
    submitted = house.ganworks("submit", str(spec), "-o", "json")
    assert submitted.returncode == 0, submitted.stderr
    job_id = json.loads(submitted.stdout)["jobs"][0]["id"]

    # it runs: ticks, metrics, the command line
    until(lambda: (house.get("/api/v1/jobs/hello").json()["tick"] or {}).get("words") == 3)
    page = house.get("/metrics").text
    assert f'ganworks_echo_words_total{{job_id="{job_id}",job_name="hello",project="default"}} 3.0' in page
    assert f'ganworks_job_progress_ratio{{job_id="{job_id}",job_name="hello",project="default"}} 1.0' in page
    assert "100%" in house.ganworks("list").stdout
    assert "RUNNING" in house.ganworks("describe", "hello").stdout

    # it ends, and the command line follows it to its end
    go.touch()
    followed = house.ganworks("watch", "hello")
    assert followed.returncode == 0, followed.stderr
    assert "3 words echoed" in followed.stdout
    done = house.get(f"/api/v1/jobs/{job_id}").json()
    assert (done["status"], done["result"]) == ("SUCCEEDED", {"words": 3})
    logs = until(lambda: house.get(f"/api/v1/jobs/{job_id}/logs").json()["text"])
    assert logs.count("hello there") == 3
    assert 'ganworks_jobs_finished_total{failure="",kind="echo"' in house.get("/metrics").text


def test_an_echo_job_hears_a_cancel(house: House, tmp_path: Path) -> None:
    spec = tmp_path / "echo.yaml"
    spec.write_text(f"kind: echo\nname: hello\ntext: hello there\nuntil: {tmp_path / 'never'}\n")
    assert house.ganworks("submit", str(spec)).returncode == 0
    until(lambda: house.get("/api/v1/jobs/hello").json()["status"] == "RUNNING")
    assert house.ganworks("cancel", "hello").returncode == 0
    until(lambda: house.get("/api/v1/jobs/hello").json()["status"] == "CANCELLED")
    attempt = house.get("/api/v1/jobs/hello").json()["attempts"][-1]
    assert attempt["status"] == "CANCELLED", "its driver said so itself"
    assert not house.cluster.stops
