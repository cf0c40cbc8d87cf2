"""A whole server without Ray, network or waiting: the in-memory cluster, SQLite in a folder, a clock moved by hand."""

import json
import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from jobs import wire
from jobs.store import open_store
from orchestrator import db, tokens
from orchestrator.cluster.memory import MemoryCluster
from orchestrator.db.tables import metadata
from orchestrator.policies.liveness import DriverStatus
from orchestrator.records import Attempt, Job, Token
from orchestrator.serve import application
from orchestrator.server.state import ServerState
from orchestrator.settings import Settings

TOKEN = "user-token-of-the-tests"
SCRAPE = "scrape-token-of-the-tests"
DATABASE = "TEST_DATABASE"  # a URL: run these tests on PostgreSQL instead
BEGIN = 1_800_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = BEGIN

    def __call__(self) -> float:
        return self.now


@dataclass
class Bench:
    """What a test works with: the server, its API, and drivers played by hand."""

    server: ServerState
    cluster: MemoryCluster
    clock: Clock
    http: TestClient

    def close(self) -> None:
        self.http.__exit__()
        self.server.database.close()

    # --- the user

    def submit(self, *documents: dict[str, Any], **more: Any) -> list[str]:
        self.clock.now += 0.001  # no two submissions come at once
        answer = self.post("/api/v1/jobs", {"documents": list(documents), **more})
        assert answer.status_code in (200, 201), answer.text
        return [job["id"] for job in answer.json()["jobs"]]

    def post(self, path: str, body: dict[str, Any] | None = None, token: str = TOKEN, **headers: str) -> Any:
        return self.http.post(path, json=body or {}, headers={"Authorization": f"Bearer {token}", **headers})

    def get(self, path: str, token: str = TOKEN) -> Any:
        return self.http.get(path, headers={"Authorization": f"Bearer {token}"})

    # --- the loops

    def step(self, times: int = 1, seconds: float = 0.5) -> None:
        """Steps of both loops, a little time before each, as in life."""
        for _ in range(times):
            self.clock.now += seconds
            self.server.archiver.step()
            self.server.supervisor.step()

    def sleep(self, seconds: float, beating: "DriverDouble | None" = None) -> None:
        """Time goes by, the loops awake; a driver may go on calling meanwhile."""
        for _ in range(max(1, round(seconds / 5))):
            if beating:
                beating.heartbeat()
            self.step(seconds=5)

    # --- what there is

    def job(self, id: str) -> Job:
        with self.server.database.read() as connection:
            found = db.jobs.by_id(connection, id)
        assert found
        return found

    def attempts(self, id: str) -> list[Attempt]:
        with self.server.database.read() as connection:
            return db.attempts.of_job(connection, id)

    def events(self, id: str) -> list[str]:
        with self.server.database.read() as connection:
            return [event.type for event in db.events.after(connection, id)]

    def driver(self, attempt_id: str, nonce: str = "a nonce of the driver") -> "DriverDouble":
        driver = DriverDouble(self, attempt_id, nonce)
        answer = driver.claim()
        assert answer.status_code == 200, answer.text
        return driver


ORDINARY: dict[str, dict[str, Any]] = {
    "training": {"examples": 0, "steps": 0, "total_examples": 1000, "seconds": 1.0, "examples_per_second": 1.0},
    "generating": {
        "samples": 0,
        "total_samples": 100,
        "seconds": 1.0,
        "samples_per_second": 1.0,
        "written_bytes": 0,
        "shards": {"total": 1, "done": 0, "missing": 1},
    },
}


class DriverDouble:
    """A driver of an attempt, as jobs.run would be, call by call."""

    def __init__(self, bench: Bench, attempt_id: str, nonce: str = "a nonce of the driver") -> None:
        self.bench, self.id, self.nonce = bench, attempt_id, nonce
        self.token, self.version = "", wire.VERSION
        self.code = bench.cluster.entries[attempt_id].env["GANWORKS_CLAIM"]

    def claim(self) -> Any:
        answer = self.call("claim", {"claim": self.code, "nonce": self.nonce, "host": "node-1", "pid": 7})
        self.token = answer.json().get("token", self.token)
        return answer

    def call(self, route: str, body: dict[str, Any] | None = None) -> Any:
        headers = {wire.HEADER: str(self.version)}
        return self.bench.post(f"/api/v1/attempts/{self.id}/{route}", body, token=self.token or "none", **headers)

    def heartbeat(self) -> str:
        return str(self.call("heartbeat").json()["command"])

    def tick(self, **tick: Any) -> str:
        """Post one; what it does not say is of an ordinary tick of its phase."""
        whole = {"time": self.bench.clock.now, **ORDINARY.get(tick["phase"], {}), **tick}
        answer = self.call("ticks", {"ticks": [whole]})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["command"])

    def result(self, outcome: str, **more: Any) -> Any:
        """The result, and then the driver is gone."""
        answer = self.call("result", {"outcome": outcome, **more})
        self.dies(DriverStatus.SUCCEEDED if outcome == "succeeded" else DriverStatus.FAILED)
        return answer

    def dies(self, status: DriverStatus = DriverStatus.FAILED, message: str = "") -> None:
        if self.id in self.bench.cluster.entries:
            self.bench.cluster.becomes(self.id, status, message)


def train(name: str = "fashion", **more: Any) -> dict[str, Any]:
    return {
        "kind": "train",
        "name": name,
        "model": {"family": "dcgan"},
        "data": {"source": "fashion-mnist"},
        **more,
    }


def generate(name: str = "samples", source: str = "fashion", **more: Any) -> dict[str, Any]:
    return {"kind": "generate", "name": name, "model": {"from": source}, "samples": 100, **more}


def put_model(bench: Bench, job_id: str) -> None:
    """What a finished training leaves in the bucket."""
    layout, store = bench.job(job_id).layout, bench.server.store
    files = []
    for name, content in (("generator.safetensors", b"weights"), ("config.json", b'{"examples": 1000}')):
        key = layout.model_prefix + name
        for place in (key, layout.draft(1, key)):
            store.put(place, content)
        files.append({"key": f"model/{name}", "source": layout.draft(1, key).removeprefix(layout.prefix)})
    store.put(layout.manifest, json.dumps({"files": files}).encode())


def empty_database() -> None:
    """Another database than a fresh SQLite file is emptied before each test."""
    if os.environ.get(DATABASE):
        database = db.Database(os.environ[DATABASE])
        with database.write() as connection:
            metadata.drop_all(connection)
            connection.exec_driver_sql("DROP TABLE IF EXISTS alembic_version")
        db.migrate(database)
        database.close()


@cache
def _migrated() -> Path:
    """An empty database with its tables: made once, copied for each test."""
    path = Path(tempfile.mkdtemp()) / "ganworks.db"
    database = db.Database(f"sqlite:///{path}")
    db.migrate(database)
    database.close()
    return path


def make_server(folder: Path, cluster: MemoryCluster, clock: Clock, **settings: Any) -> ServerState:
    """Also what a server that starts again does: the folder keeps the database and the store."""
    chosen = Settings(home=folder, token=TOKEN, scrape_token=SCRAPE, entrypoint="exec python -P -m jobs.run")
    chosen = replace(chosen, **settings)
    folder.mkdir(parents=True, exist_ok=True)
    chosen = replace(chosen, database=os.environ.get(DATABASE, ""))
    if not (folder / "ganworks.db").exists():
        shutil.copy(_migrated(), folder / "ganworks.db")
    database = db.Database(chosen.database_url)
    with database.write() as connection:
        for secret, role in ((TOKEN, "user"), (SCRAPE, "scrape")):
            token = Token(hash=tokens.digest(secret), project="default", owner="ada", role=role)
            db.tokens.put(connection, token)
    server = ServerState(
        settings=chosen, database=database, cluster=cluster, store=open_store(chosen.store_uri), clock=clock, wall=clock
    )
    server.supervisor.raises = True
    server.start = server.stop = lambda: None  # type: ignore[method-assign]  # tests step the loops by hand
    return server


def client(server: ServerState) -> TestClient:
    """Entered, so that all its requests share one event loop; `Bench.close` leaves it."""
    return TestClient(application(server), raise_server_exceptions=False).__enter__()


def restarted(bench: Bench, away: float = 0.0) -> None:
    """The server dies and comes back `away` seconds later on the same database, with the same cluster."""
    bench.clock.now += away
    bench.close()
    bench.server = make_server(bench.server.settings.home, bench.cluster, bench.clock)
    bench.http = client(bench.server)
