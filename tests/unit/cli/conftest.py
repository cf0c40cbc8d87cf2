"""The command line in this process, against a real server on a port of its own; the cluster alone is in memory."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import structlog
import uvicorn
from server_bench import TOKEN, Bench, Clock, client, empty_database, make_server

from orchestrator.cli import app
from orchestrator.cluster.memory import MemoryCluster
from orchestrator.serve import application
from orchestrator.server.state import ServerState


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


class Served:
    """A server's routes on a port, in a thread."""

    def __init__(self, server: ServerState, port: int = 0) -> None:
        config = uvicorn.Config(application(server), port=port, log_config=None, lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()
        # One request alone: routes are put together at the first, and two at once would do it twice.
        httpx.get(f"http://127.0.0.1:{self.port}/healthz")

    @property
    def port(self) -> int:
        return int(self._server.servers[0].sockets[0].getsockname()[1])

    def end(self) -> None:
        self._server.should_exit = True
        self._thread.join()


class Commands:
    """`ganworks …` as a call: its exit code, and what it printed."""

    def __init__(self, bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
        self.bench, self._capsys = bench, capsys
        self._pool = ThreadPoolExecutor(1)
        self.served = Served(bench.server)
        self.url = f"http://127.0.0.1:{self.served.port}"

    def __call__(self, *arguments: str) -> Ran:
        self._capsys.readouterr()
        code = _exit_code(arguments)
        return Ran(code, *self._capsys.readouterr())

    def beside(self, *arguments: str) -> "Future[int]":
        """Begin a command that stays; its exit code comes."""
        return self._pool.submit(_exit_code, arguments)


def _exit_code(arguments: tuple[str, ...]) -> int:
    with pytest.raises(SystemExit) as end:
        app.run(list(arguments))
    return int(end.value.code or 0)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    structlog.configure(processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer()])
    empty_database()
    clock, cluster = Clock(), MemoryCluster()
    server = make_server(tmp_path / "server", cluster, clock)
    bench = Bench(server, cluster, clock, client(server))
    bench.step()
    yield bench
    bench.close()


@pytest.fixture
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No server is known, whatever the machine of the tests has."""
    for name in ("GANWORKS_URL", "GANWORKS_TOKEN", "GANWORKS_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GANWORKS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def ganworks(
    bench: Bench, empty_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Commands]:
    commands = Commands(bench, capsys)
    monkeypatch.setenv("GANWORKS_URL", commands.url)
    monkeypatch.setenv("GANWORKS_TOKEN", TOKEN)
    yield commands
    commands.served.end()


@pytest.fixture
def spec(tmp_path: Path) -> Callable[..., str]:
    """Writes a spec file of jobs; its path."""

    def write(name: str, *jobs: str, **fields: str) -> str:
        more = "".join(f"{field}: {value}\n" for field, value in fields.items())
        documents = [
            f"kind: train\nname: {job}\nmodel: {{family: dcgan}}\ndata: {{source: fashion-mnist}}\n{more}"
            for job in jobs
        ]
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("---\n".join(documents))
        return str(path)

    return write
