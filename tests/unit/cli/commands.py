"""The command line in this process, against a real server on a port of its own; the cluster alone is in memory."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import httpx
import pytest
import uvicorn
from server_bench import Bench

from orchestrator.cli import app
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
