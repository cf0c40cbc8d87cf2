"""One slow part, one reader or one stranger never stops the server for the others."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from server_bench import TOKEN, Bench, train

from orchestrator.api import middleware
from orchestrator.api.middleware import LANES, Lane
from orchestrator.serve import application


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

    def logs(_: str) -> str:
        stuck.release()
        release.wait()
        return "the log"

    monkeypatch.setattr(bench.cluster, "logs", logs)
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
