"""One life of a server, for test_crash_points: a job whose first driver dies and whose second succeeds.

The cluster outlives the server, so it is kept in a file: read at the start, written at every change.
"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from fastapi.testclient import TestClient
from server_bench import BEGIN, Bench, Clock, DriverDouble, make_server, train

from orchestrator.cluster.memory import Entry, MemoryCluster
from orchestrator.policies.liveness import Driver, DriverStatus
from orchestrator.serve import application


class KeptCluster(MemoryCluster):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        kept = json.loads(path.read_text()) if path.exists() else {}
        self.entries = {id: Entry(**{**entry, "driver": Driver(**entry["driver"])}) for id, entry in kept.items()}

    def save(self) -> None:
        self.path.write_text(json.dumps({id: asdict(entry) for id, entry in self.entries.items()}))

    def submit(self, *arguments: object) -> None:
        super().submit(*arguments)  # type: ignore[arg-type]
        self.save()

    def becomes(self, submission_id: str, status: DriverStatus, message: str = "") -> None:
        super().becomes(submission_id, status, message)
        self.save()


@dataclass(frozen=True, kw_only=True)
class Play:
    """How it stood at the end of a life."""

    status: str
    attempts: list[str]
    events: list[str]
    claims: int
    archived: bool


def live(folder: Path) -> Play:
    clock, claims, lives = Clock(), folder / "claims", folder / "lives"
    lives.write_text(str(int(lives.read_text()) + 1 if lives.exists() else 1))
    clock.now = BEGIN + 1000 * int(lives.read_text())
    server = make_server(folder, KeptCluster(folder / "cluster.json"), clock)
    bench = Bench(server, server.cluster, clock, TestClient(application(server)))  # type: ignore[arg-type]
    try:
        return _live(bench, claims)
    finally:
        server.database.close()


def _live(bench: Bench, claims: Path) -> Play:
    bench.step()
    job = bench.get("/api/v1/jobs/fashion").json().get("id") or bench.submit(train(retry={"backoff": "1s"}))[0]
    for _ in range(40):
        bench.step()
        act(bench, job, claims)
    return Play(
        status=bench.job(job).status,
        attempts=[str(attempt.status) for attempt in bench.attempts(job)],
        events=bench.events(job),
        claims=len(claims.read_text().split()),
        archived=bench.job(job).archived,
    )


def act(bench: Bench, job: str, claims: Path) -> None:
    """What the drivers do: each claims once it runs; the first dies, the second succeeds."""
    for id, entry in list(bench.cluster.entries.items()):
        if entry.driver.has_ended:
            continue
        driver = DriverDouble(bench, id)
        answer = driver.claim()
        known = claims.read_text().split() if claims.exists() else []
        if answer.status_code == 200 and id not in known:
            claims.write_text(" ".join([*known, id]))
        if id.endswith("-1"):
            driver.dies()
        elif answer.status_code == 410 or driver.call("result", {"outcome": "succeeded"}).status_code == 200:
            driver.dies(DriverStatus.SUCCEEDED)


if __name__ == "__main__":
    live(Path(sys.argv[1]))
