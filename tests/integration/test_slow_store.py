"""A store that answers nobody: its readers are told so, and no driver and no other reader waits for it."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from jobs import wire
from orchestrator.cluster.memory import MemoryCluster
from orchestrator.local.processes import free_ports
from orchestrator.serve import application, open_server
from orchestrator.server.far import FarReads
from orchestrator.settings import Settings
from tests.support import weed
from tests.support.faults import FaultProxy

TOKEN = "token-of-the-tests"
READERS = 50
JOB = {"kind": "train", "name": "shirts", "model": {"family": "dcgan"}, "data": {"source": "fashion-mnist"}}


class Hanging:
    """A proxy that lets nothing through while it is told to hang; `held` counts what waits in it."""

    def __init__(self, upstream: str) -> None:
        self.open, self.held = threading.Event(), threading.Semaphore(0)
        self.open.set()
        self.proxy = FaultProxy(upstream, self.decide)

    def decide(self, method: str, path: str, number: int) -> None:
        if not self.open.is_set():
            self.held.release()
            self.open.wait()


@pytest.fixture
def hanging(s3_server: weed.S3Server) -> Iterator[Hanging]:
    hanging = Hanging(s3_server.endpoint)
    yield hanging
    hanging.open.set()
    hanging.proxy.stop()


@pytest.fixture
def server(s3_server: weed.S3Server, hanging: Hanging, tmp_path: Path) -> Iterator[tuple[str, MemoryCluster]]:
    """A server with its loops, on a port; its store is behind the proxy."""
    settings = Settings(
        home=tmp_path,
        token=TOKEN,
        store=f"s3://{weed.BUCKET}/slow/{tmp_path.name}",
        store_env={**s3_server.env, "AWS_ENDPOINT_URL_S3": hanging.proxy.url},
        port=free_ports(1)[0],
    )
    cluster = MemoryCluster()
    state = open_server(settings, cluster)
    state.far = FarReads(seconds=2.0)
    running = uvicorn.Server(uvicorn.Config(application(state), port=settings.port, log_level="error"))
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        assert thread.is_alive()
    yield f"http://127.0.0.1:{settings.port}", cluster
    hanging.open.set()
    running.should_exit = True
    thread.join()
    state.database.close()


def a_running_attempt(client: httpx.Client, cluster: MemoryCluster) -> tuple[str, dict[str, str]]:
    """Submit a job and claim its attempt; returns its path and a driver's headers."""
    (job,) = client.post("/api/v1/jobs", json={"documents": [JOB]}).raise_for_status().json()["jobs"]
    attempt = f"{job['id']}-1"
    while attempt not in cluster.entries:
        assert client.get(f"/api/v1/jobs/{job['id']}").json()["status"] in ("WAITING", "QUEUED", "STARTING")
    code, headers = cluster.entries[attempt].env["GANWORKS_CLAIM"], {wire.HEADER: str(wire.VERSION)}
    body = {"claim": code, "nonce": "a nonce of the driver"}
    answer = client.post(f"/api/v1/attempts/{attempt}/claim", json=body, headers=headers).raise_for_status()
    return f"/api/v1/attempts/{attempt}", {**headers, "Authorization": f"Bearer {answer.json()['token']}"}


@pytest.mark.timeout(180)
def test_heartbeats_pass_while_fifty_readers_wait_for_the_store(
    server: tuple[str, MemoryCluster], hanging: Hanging
) -> None:
    url, cluster = server
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60) as client:
        attempt, driver = a_running_attempt(client, cluster)
        assert client.get("/api/v1/jobs/shirts/grids").json()["grids"] == []
        hanging.open.clear()

        def read(_: int) -> httpx.Response:
            return client.get("/api/v1/jobs/shirts/grids")

        with ThreadPoolExecutor(READERS) as pool:
            readers = [pool.submit(read, n) for n in range(READERS)]
            hanging.held.acquire()
            beats: list[Any] = []
            while not all(reader.done() for reader in readers):
                beats.append(client.post(f"{attempt}/heartbeat", json={}, headers=driver).raise_for_status().json())
                assert client.get("/api/v1/jobs").status_code == 200
                assert client.get("/readyz").status_code == 200
        assert beats
        assert all(beat == {"command": "continue"} for beat in beats)
        for answer in (reader.result() for reader in readers):
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert len(answer.json()["error"]["message"].splitlines()) == 1
        hanging.open.set()
        while (answer := client.get("/api/v1/jobs/shirts/grids")).status_code == 503:
            continue
    assert answer.json()["grids"] == []
    assert cluster.stops == []
