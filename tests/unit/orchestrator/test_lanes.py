"""One slow part, one reader or one stranger never stops the server for the others."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest
from server_bench import TOKEN, Bench, train

from jobs.store import StoreUnreachable, open_store
from jobs.store.s3 import S3Store
from orchestrator.api import middleware
from orchestrator.api.middleware import LANES, Lane
from orchestrator.cluster import LogPart, Refused, Unreachable
from orchestrator.cluster.memory import MemoryCluster
from orchestrator.serve import application, open_server
from orchestrator.server.far import FarReads
from orchestrator.settings import Settings


def asked(
    bench: Bench, method: str, path: str, receive: Any, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str]]:
    """One request straight into the application, its body as `receive` gives it; status and headers of the answer."""
    said: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        said.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
        "raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "http", "server": ("s", 1),
        "client": ("c", 2), "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
    }  # fmt: skip
    asyncio.run(application(bench.server)(scope, receive, send))
    return said[0]["status"], {name.decode(): value.decode() for name, value in said[0]["headers"]}


AUTHORIZED = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json", "Transfer-Encoding": "chunked"}


def test_without_a_token_nothing_is_read(bench: Bench) -> None:
    async def receive() -> Any:
        raise AssertionError("the body was read")

    status, headers = asked(bench, "POST", "/api/v1/jobs", receive, {"Content-Length": str(16 << 20)})
    assert (status, headers["connection"]) == (401, "close")
    status, _ = asked(
        bench, "POST", "/api/v1/jobs", receive, {"Transfer-Encoding": "chunked", "Authorization": "Bearer x"}
    )
    assert status == 401
    attempt = "/api/v1/attempts/nobody-1/ticks"
    assert (
        asked(bench, "POST", attempt, receive, {"Transfer-Encoding": "chunked", "Authorization": "Bearer x"})[0] == 403
    )


@pytest.mark.parametrize(
    ("path", "most"), [("/api/v1/jobs", middleware.LARGEST), ("/api/v1/attempts/a-1/claim", middleware.UNKNOWN)]
)
def test_a_body_in_pieces_is_read_up_to_the_limit_only(bench: Bench, path: str, most: int) -> None:
    read = 0

    async def receive() -> Any:
        nonlocal read
        read += 1 << 16
        return {"type": "http.request", "body": b"x" * (1 << 16), "more_body": True}

    status, headers = asked(bench, "POST", path, receive, AUTHORIZED)
    assert (status, headers["connection"]) == (413, "close")
    assert read <= most + (1 << 16)


def test_a_body_that_never_comes_is_waited_for_so_long(bench: Bench, monkeypatch: Any) -> None:
    monkeypatch.setattr(middleware, "BODY_SECONDS", 0.01)

    async def receive() -> Any:
        await asyncio.Event().wait()

    assert asked(bench, "POST", "/api/v1/jobs", receive, AUTHORIZED)[0] == 408


def test_invented_methods_make_no_series(bench: Bench) -> None:
    for n in range(5):
        bench.http.request(f"BREW{n}", "/api/v1/jobs")
    page = bench.get("/metrics").text
    assert "BREW" not in page
    assert 'method="other"' in page


def test_readers_that_hang_starve_no_driver(bench: Bench, monkeypatch: Any) -> None:
    (job,) = bench.submit(train())
    bench.step()
    driver = bench.driver(f"{job}-1")
    hanging, stuck, release = LANES["far"].threads, threading.Semaphore(0), threading.Event()

    def read_log(*_: Any) -> LogPart:
        stuck.release()
        release.wait()
        return LogPart(data=b"the log\n", size=8)

    monkeypatch.setattr(bench.cluster, "read_log", read_log)
    monkeypatch.setitem(LANES, "far", Lane(threads=hanging, patience=0.2))
    with ThreadPoolExecutor(60) as pool:
        readers = [pool.submit(bench.get, f"/api/v1/jobs/{job}/logs") for _ in range(60)]
        for _ in range(hanging):
            stuck.acquire()
        assert driver.heartbeat() == "continue"
        assert bench.get("/api/v1/jobs").status_code == 200
        while sum(reader.done() for reader in readers) < 60 - hanging:
            assert driver.heartbeat() == "continue"
        release.set()
        answers = [reader.result() for reader in readers]
    assert sorted({answer.status_code for answer in answers}) == [200, 503]
    assert sum(answer.status_code == 200 for answer in answers) == hanging


def test_a_reader_is_answered_though_its_store_never_is(bench: Bench, monkeypatch: Any) -> None:
    (job,) = bench.submit(train())
    bench.step()
    driver, hang, release = bench.driver(f"{job}-1"), threading.Semaphore(0), threading.Event()

    def never(prefix: str) -> Any:
        hang.release()
        release.wait()
        return iter(())

    monkeypatch.setattr(bench.server.store, "list", never)
    monkeypatch.setattr(bench.server, "far", FarReads(threads=2, seconds=0.1))
    for _ in range(4):
        answer = bench.get(f"/api/v1/jobs/{job}/grids")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert "\n" not in answer.json()["error"]["message"]
        assert driver.heartbeat() == "continue"
    assert sum(hang.acquire(blocking=False) for _ in range(9)) == 2, "no more than two reads hang at once"
    release.set()
    bench.server.far.seconds = 60
    assert bench.get(f"/api/v1/jobs/{job}/grids").json()["grids"] == []


def test_a_far_read_gives_what_it_finds_and_raises_what_it_meets() -> None:
    far = FarReads(threads=1, seconds=60)
    assert far(lambda: 7) == 7

    def fails() -> None:
        raise TimeoutError("of the store itself")

    for _ in range(3):  # its place is free again each time
        with pytest.raises(TimeoutError, match="of the store itself"):
            far(fails)
    assert far(lambda: "there") == "there"


@pytest.mark.parametrize("error", [StoreUnreachable("away\nfor now"), Unreachable("Ray is\naway"), Refused("no")])
def test_what_is_away_is_told_in_one_line_with_when_to_ask_again(
    bench: Bench, monkeypatch: Any, error: Exception
) -> None:
    (job,) = bench.submit(train())

    def fails(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(bench.server.store, "list", fails)
    answer = bench.get(f"/api/v1/jobs/{job}/grids")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "\n" not in answer.json()["error"]["message"]


def test_those_who_only_look_have_a_store_that_gives_up_soon(tmp_path: Path) -> None:
    server = open_server(Settings(home=tmp_path), MemoryCluster())
    assert server.reader_store is server.hasty_store is not server.store
    env = {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    hasty, patient = (cast(S3Store, open_store("s3://b", env=env, is_hasty=is_hasty)) for is_hasty in (True, False))
    limits = [(c.connect_timeout, c.read_timeout) for c in (store.client.meta.config for store in (hasty, patient))]
    assert limits == [(2, 3), (5, 60)]
    server.database.close()
