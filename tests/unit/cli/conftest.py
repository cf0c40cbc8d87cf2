"""A server, and the command line that speaks to it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from commands import Commands
from server_bench import TOKEN, Bench, Clock, client, empty_database, make_server

from orchestrator.cluster.memory import MemoryCluster


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
