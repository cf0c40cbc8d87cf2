"""The server as a whole: up over a real socket, refusing to start with one clear line."""

import contextlib
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import structlog
from server_bench import train

from orchestrator import serve
from orchestrator.observability import logs
from orchestrator.serve import CannotStart, Running, main, open_server, run_server
from orchestrator.server import impatient
from orchestrator.settings import Settings


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The server takes the process's log for itself; not that of the tests."""
    monkeypatch.setattr(logs, "set_up", lambda redactor: None)
    yield
    structlog.reset_defaults()


@pytest.fixture
def few_connections(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(serve, "CONNECTIONS", 5)
    return 5


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A server on a free port, whose Ray is nowhere."""
    ready: queue.Queue[Running] = queue.Queue()
    settings = Settings(home=tmp_path, port=0, ray_address="http://127.0.0.1:9")
    thread = threading.Thread(target=run_server, args=(settings, ready.put))
    thread.start()
    server = ready.get(timeout=20)
    yield server
    server.stop()
    thread.join(timeout=20)
    assert not thread.is_alive()


def client(server: Running) -> httpx.Client:
    return httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {server.settings.token}"})


def test_it_answers_and_queues_though_ray_is_away(running: Running) -> None:
    with client(running) as http:
        assert http.get("/healthz").json() == {"status": "ok"}
        assert http.post("/api/v1/jobs", json={"documents": [train()]}).status_code == 201
        assert http.get("/api/v1/jobs/fashion").json()["status"] == "QUEUED"


def test_racing_submits_make_one_job(running: Running) -> None:
    with client(running) as http, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: http.post("/api/v1/jobs", json={"documents": [train()]}), range(16)))
    assert sorted({answer.status_code for answer in answers}) == [200, 201]
    assert len({answer.json()["jobs"][0]["id"] for answer in answers}) == 1


def test_a_second_server_is_refused(running: Running) -> None:
    second = Settings(home=running.settings.home, port=0)
    with pytest.raises(CannotStart, match="another server"):
        run_server(second)


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotStart, match=f"port {port} on 127.0.0.1 is taken; .* GANWORKS_PORT"):
            run_server(Settings(home=tmp_path, port=port))


def test_a_store_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CannotStart, match="the store cannot be used"):
        open_server(Settings(home=tmp_path, store=str(tmp_path / "file" / "store")))


@pytest.mark.parametrize(
    "url",
    ["sqlite:///{folder}/file/ganworks.db", "postgresql://ada:hunter-two@127.0.0.1:9/ganworks", "no url", "x://y"],
)
def test_a_database_that_cannot_be_used_is_named_without_its_password(tmp_path: Path, url: str) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CannotStart, match="the database cannot be used") as caught:
        run_server(Settings(home=tmp_path, port=0, database=url.format(folder=tmp_path)))
    assert "hunter-two" not in str(caught.value)


def test_main_says_one_line_and_ends_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GANWORKS_PORT", "no port")
    assert main() == 2
    error = capsys.readouterr().err
    assert error.startswith("ganworks: GANWORKS_PORT")
    assert error.count("\n") == 1


def test_the_server_needs_neither_torch_nor_ray() -> None:
    code = "import orchestrator.serve, sys; print([m for m in ('torch', 'ray', 'trainers') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_half_a_header_is_not_waited_for_for_ever(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(impatient, "HEADER_SECONDS", 0.2)
    port = int(running.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=30) as half:
        half.sendall(b"POST /api/v1/jobs HTTP/1.1\r\nHost:")
        assert half.recv(1) == b""  # closed
    with client(running) as http:
        assert http.get("/healthz").status_code == 200
        assert http.get("/readyz").json()["database"] is True


def test_more_connections_than_it_holds_are_told_so_and_those_it_has_go_on(
    few_connections: int, running: Running
) -> None:
    port = int(running.url.rpartition(":")[2])
    with contextlib.ExitStack() as stack, client(running) as http:
        assert http.get("/healthz").status_code == 200  # one connection, kept
        for _ in range(few_connections):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
        with client(running) as another:
            while (answer := another.get("/healthz")).status_code == 200:  # until all have been seen
                continue
        assert answer.status_code == 503
    with client(running) as http:
        while http.get("/healthz").status_code == 503:  # until all are known to be gone
            continue
        assert http.get("/api/v1/jobs").status_code == 200
