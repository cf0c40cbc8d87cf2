"""What the API costs when many jobs have ended, and how long many clients at once wait for it.

    python -m tests.bench.bench_server [--jobs 10000] [--clients 200] [--seconds 60]

A server of its own process on SQLite, with finished jobs that have large labels and specs, events, ticks, a log and grids; no Ray.
First one client: the server's CPU time per request, by route (its supervisor's steps included, as they fall). Then all clients at
once, each asking one route after the other: latency by route, and the server's memory before and after.
"""

import argparse
import asyncio
import gzip
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psutil
from sqlalchemy import insert, update
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jobs.specs import spec
from jobs.store import open_store
from orchestrator import db, serve, tokens
from orchestrator.cluster.memory import MemoryCluster
from orchestrator.db import tables
from orchestrator.local.processes import free_ports
from orchestrator.observability import logs
from orchestrator.observability.redact import Redactor
from orchestrator.records import Attempt
from orchestrator.settings import Settings

TOKEN, DRIVER = "token-of-the-benchmark", "driver-of-the-benchmark"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
CPU = b"x-cpu-seconds"
ROUNDS = 60  # requests of one client to each route
ENDS = ["SUCCEEDED"] * 45 + ["FAILED"] * 4 + ["CANCELLED"]
DOCUMENT = {
    "kind": "train", "name": "dry", "model": {"family": "dcgan"}, "data": {"source": "fashion-mnist"},
    "labels": {f"label-{n}": "v" * 60 for n in range(20)}, "train": {"examples": "1M"},
}  # fmt: skip
TICK = {"phase": "training", "examples": 1, "total_examples": 9, "stats": {f"loss/{n}": 0.5 for n in "abcd"}}
RUNNING = "running-job"


def settings(home: Path, port: int) -> Settings:
    return Settings(home=home, port=port, token=TOKEN, scrape_token="scraper-of-the-benchmark")


# --- what there is


def fill(home: Path, jobs: int) -> dict[str, str]:
    """Make the database and the store; returns the words that routes are asked with."""
    database = db.Database(settings(home, 0).database_url)
    db.migrate(database)
    plain = spec.dump(spec.parse(DOCUMENT))
    now, store = time.time(), open_store(settings(home, 0).store_uri)
    ended = [job_row(n, now - 60 * (jobs - n), plain) for n in range(jobs)]
    running = {
        **job_row(jobs, now, plain),
        "id": RUNNING,
        "name": RUNNING,
        "status": "RUNNING",
        "ended": None,
        "ended_seq": None,
    }
    attempts = [attempt_row(row, row["status"]) for row in ended]
    attempts.append(
        {**attempt_row(running, "RUNNING"), "released": None, "ended": None, "heartbeat": now, "progressed": now}
    )
    with database.write() as connection:
        connection.execute(insert(tables.jobs), [*ended, running])
        connection.execute(insert(tables.attempts), attempts)
        for table, each, values in ((tables.events, 8, event_row), (tables.ticks, 20, tick_row)):
            connection.execute(insert(table), [values(row, n) for row in [*ended, running] for n in range(each)])
        connection.execute(
            update(tables.attempts).where(tables.attempts.c.job_id == RUNNING).values(token_hash=tokens.digest(DRIVER))
        )
        add_schedule(connection, ended, now)
        for n in range(min(jobs, 3650)):
            db.usage.add(
                connection,
                "default",
                "user",
                f"user-{n % 20}",
                int(now // 86400) - n // 20,
                {"cpu_seconds_useful": 1.0},
            )
    with database.read() as connection:
        newest = db.jobs.by_ids(connection, [ended[-1]["id"]])[ended[-1]["id"]]
    store.put(newest.layout.log(1), gzip.compress(b"a line of a log of some length, and then some\n" * 20_000))
    for n in range(50):
        store.put(newest.layout.grid(1000 * n), b"x" * 100_000)
    database.close()
    return {"job": newest.id, "name": newest.name, "grid": f"{1000:012d}.png"}


def job_row(n: int, at: float, plain: dict[str, Any]) -> dict[str, Any]:
    status = ENDS[n % len(ENDS)]
    return {
        "id": f"20260101t000000z-{n:06x}", "seq": n + 1, "project": "default", "name": f"job-{n % 500}", "kind": ("train", "generate")[n % 2],
        "queue": "default", "priority": 50, "owner": f"user-{n % 20}", "labels": plain["labels"], "spec": plain, "spec_digest": f"{n:064x}",
        "pinned": {}, "status": status, "desired": "RUN", "failure": "user_code" if status == "FAILED" else None, "attempt": 1,
        "submitted": at, "queued": at, "started": at, "ended": at + 50, "ended_seq": 8 * n + 8, "described": True, "archived": True,
        "totals": {"steps": 1000}, "reason": "succeeded", "commit_sha256": "0" * 64,
    }  # fmt: skip


def attempt_row(job: dict[str, Any], status: str) -> dict[str, Any]:
    at = job["submitted"]
    attempt = Attempt(
        id=f"{job['id']}-1", job_id=job["id"], number=1, workers=2, cpus_per_worker=1.0, gpus_per_worker=0.0, placement={"node-1": 2},
        status=status, claim_hash="0" * 64, created=at, submitted=at, started=at, heartbeat=at + 49, ended=at + 50, released=at + 51,
    )  # fmt: skip
    return vars(replace(attempt, result={"examples": 1_000_000}, archived=status != "RUNNING"))


def event_row(job: dict[str, Any], n: int) -> dict[str, Any]:
    return {
        "job_id": job["id"],
        "attempt": 1,
        "time": job["submitted"] + n,
        "type": "finding",
        "message": "m" * 80,
        "data": {"n": n},
    }


def tick_row(job: dict[str, Any], n: int) -> dict[str, Any]:
    return {"job_id": job["id"], "attempt": 1, "time": job["submitted"] + n, "data": {**TICK, "examples": 64 * n}}


def add_schedule(connection: Any, ended: Sequence[dict[str, Any]], now: float) -> None:
    document = {**DOCUMENT, "name": "nightly", "schedule": {"cron": "0 2 * * *"}}
    row = {"project": "default", "name": "nightly", "owner": "user-1", "documents": [document], "attached": [], "digest": "0" * 64,
           "version": 1, "suspended": True, "created": now, "updated": now, "considered": now}  # fmt: skip
    connection.execute(insert(tables.schedules), [row])
    firings = [
        {"project": "default", "schedule": "nightly", "scheduled_time": now - 60.0 * n, "decided": now, "version": 1, "outcome": "started", "job_id": job["id"]}
        for n, job in enumerate(reversed(ended[-1000:]))
    ]  # fmt: skip
    connection.execute(insert(tables.schedule_ticks), firings)


# --- the server


class CpuTold:
    """Says in a header what CPU time went by in this process while a request was answered: of one client, that is its cost."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.process_time()

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (CPU, f"{time.process_time() - began:.6f}".encode())]
            await send(message)

        await self.app(scope, receive, told)


def serve_for_ever(home: Path, port: int) -> None:
    chosen = settings(home, port)
    logs.set_up(Redactor(chosen.secrets))
    app = serve.build(chosen, MemoryCluster())
    app.add_middleware(CpuTold)
    serve._serve(app, chosen, serve._listen(chosen), lambda running: print("ready", flush=True))


def start(home: Path, port: int) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "tests.bench.bench_server", "--serve", str(home), "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=(home / "server.log").open("wb"))
    assert server.stdout
    if server.stdout.readline() != b"ready\n":
        server.kill()
        raise RuntimeError((home / "server.log").read_text()[-2000:])
    return server


# --- the clients

Asked = tuple[str, str, Any, dict[str, str]]  # method, path, body, headers


def routes(words: dict[str, str]) -> dict[str, Asked]:
    """Every route that is not a change, what a driver posts, and a submission that changes nothing."""
    job, driver = (
        f"/api/v1/jobs/{words['job']}",
        {"Authorization": f"Bearer {DRIVER}", "Ganworks-Wire": str(serve.attempts.wire.VERSION)},
    )
    paths = [
        "/healthz", "/readyz", "/metrics", "/api/v1/jobs", "/api/v1/jobs?limit=1000", "/api/v1/jobs?status=failed",
        "/api/v1/jobs?status=failed,cancelled", "/api/v1/jobs?status=running", "/api/v1/jobs?status=failed&kind=generate", "/api/v1/jobs?kind=train",
        f"/api/v1/jobs?name={words['name']}", "/api/v1/jobs?name=nobody", "/api/v1/queues", "/api/v1/usage", "/api/v1/usage?by=job&days=3650",
        "/api/v1/cluster", "/api/v1/schedules", "/api/v1/schedules/nightly", "/api/v1/schedules/nightly/history",
        "/api/v1/schedules/nightly/history?all=true", "/api/v1/schedules/nightly/next?count=100", "/api/v1/schema", "/api/v1/families",
        job, f"/api/v1/jobs/{words['name']}", f"{job}/events", f"{job}/ticks", f"{job}/logs", f"{job}/grids", f"{job}/grids/{words['grid']}",
    ]  # fmt: skip
    posts: dict[str, Asked] = {
        "POST heartbeat": ("POST", f"/api/v1/attempts/{RUNNING}-1/heartbeat", {}, driver),
        "POST jobs, dry run": ("POST", "/api/v1/jobs", {"documents": [DOCUMENT], "dry_run": True}, AUTHORIZED),
    }
    shown = {path: path.replace(words["job"], "ID").replace(words["name"], "NAME") for path in paths}
    return {shown[path]: ("GET", path, None, AUTHORIZED) for path in paths} | posts


def alone(url: str, asked: dict[str, Asked]) -> dict[str, list[float]]:
    """CPU seconds of the server for each request of one client, by route."""
    seconds: dict[str, list[float]] = {}
    with httpx.Client(base_url=url, timeout=60) as client:
        for name, (method, path, body, headers) in asked.items():
            answers = [client.request(method, path, json=body, headers=headers) for _ in range(ROUNDS + 5)][5:]
            if bad := [answer for answer in answers if answer.status_code >= 400 and path != "/readyz"]:
                raise RuntimeError(f"{name}: {bad[0].status_code} {bad[0].text[:300]}")
            seconds[name] = [float(answer.headers[CPU.decode()]) for answer in answers]
    return seconds


async def together(
    url: str, asked: dict[str, Asked], clients: int, seconds: float
) -> tuple[dict[str, list[float]], Counter[str]]:
    """Latency in seconds of what all clients at once asked, by route; and the answers by status."""
    waited, statuses, until = defaultdict(list), Counter[str](), time.monotonic() + seconds
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)

    async def one(client: httpx.AsyncClient, chance: random.Random) -> None:
        while time.monotonic() < until:
            name, (method, path, body, headers) = chance.choice(list(asked.items()))
            began = time.perf_counter()
            try:
                answer = await client.request(method, path, json=body, headers=headers)
            except httpx.TransportError as error:  # a kept connection that the server has closed meanwhile, as it may
                statuses[type(error).__name__] += 1
                continue
            waited[name].append(time.perf_counter() - began)
            statuses[str(answer.status_code)] += 1

    async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits) as client:
        await asyncio.gather(*(one(client, random.Random(n)) for n in range(clients)))
    return waited, statuses


def table(seconds: dict[str, list[float]]) -> str:
    rows = [f"{'route':<48}{'p50 ms':>9}{'p99 ms':>9}{'n':>7}"]
    for name, each in seconds.items():
        cuts = statistics.quantiles(each, n=100) if len(each) > 1 else [each[0]] * 99
        rows.append(f"{name:<48}{cuts[49] * 1e3:>9.1f}{cuts[98] * 1e3:>9.1f}{len(each):>7}")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--serve", type=Path)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    if options.serve:
        return serve_for_ever(options.serve, options.port)
    with tempfile.TemporaryDirectory() as folder:
        home, port = Path(folder), free_ports(1)[0]
        asked = routes(fill(home, options.jobs))
        server = start(home, port)
        try:
            report(psutil.Process(server.pid), f"http://127.0.0.1:{port}", asked, options)
        finally:
            server.terminate()
            server.wait()


def report(server: psutil.Process, url: str, asked: dict[str, Asked], options: argparse.Namespace) -> None:
    mib = lambda: f"{server.memory_info().rss / 2**20:.0f} MiB"  # noqa: E731
    print(f"{options.jobs} finished jobs; memory of the server at its start: {mib()}")
    print(f"\none client: CPU time of the server\n{table(alone(url, asked))}")
    before = mib()
    waited, statuses = asyncio.run(together(url, asked, options.clients, options.seconds))
    print(f"\n{options.clients} clients at once for {options.seconds:g} s: latency\n{table(waited)}")
    total = sum(statuses.values())
    print(
        f"{json.dumps(dict(statuses))} by status, {total / options.seconds:.0f} a second; memory before {before}, after {mib()}"
    )


if __name__ == "__main__":
    main()
