"""`ganworks serve` as a process: the signals that end it, where it listens, and what keeps it from starting."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from orchestrator import addresses
from orchestrator.local.processes import free_ports
from orchestrator.settings import from_environment

SERVE = [sys.executable, "-P", "-m", "ganworks_launcher", "orchestrator.serve"]


@pytest.fixture
def serve(tmp_path: Path) -> "Iterator[Serve]":
    serve = Serve(tmp_path)
    yield serve
    for server in serve.started:
        server.kill()
        server.communicate()


class Serve:
    """Starts servers, and ends them."""

    def __init__(self, home: Path) -> None:
        self.home, self.port = home, free_ports(1)[0]
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, host: str = "127.0.0.1", before: Callable[[], object] | None = None) -> subprocess.Popen[bytes]:
        """Return when it answers."""
        env = {"GANWORKS_HOME": str(self.home), "GANWORKS_HOST": host, "GANWORKS_PORT": str(self.port)}
        running = subprocess.Popen(
            SERVE, env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=before
        )
        self.started.append(running)
        url = addresses.url(addresses.from_here(host), self.port)
        while not self._answers(url):
            assert running.poll() is None, running.communicate()
        return running

    def _answers(self, url: str) -> bool:
        try:
            return httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
        except httpx.HTTPError:
            time.sleep(0.1)
            return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_each_of_the_signals_ends_it_orderly(serve: Serve, number: signal.Signals) -> None:
    running = serve.start()
    running.send_signal(number)
    out, _ = running.communicate(timeout=600)
    assert running.returncode in (0, 130, -signal.SIGTERM, -signal.SIGINT)
    assert b"Traceback" not in out
    serve.start()  # it has let go of its database and its port


def test_nohup_keeps_it_running(serve: Serve) -> None:
    running = serve.start(before=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    running.send_signal(signal.SIGHUP)
    assert serve._answers(f"http://127.0.0.1:{serve.port}")
    running.terminate()
    running.communicate(timeout=600)


@pytest.mark.parametrize("host", ["::1", "0.0.0.0", "localhost"])
def test_it_listens_where_it_is_told(serve: Serve, host: str) -> None:
    running = serve.start(host)
    running.terminate()
    out, _ = running.communicate(timeout=600)
    said = f'"url": "{from_environment({"GANWORKS_HOST": host, "GANWORKS_PORT": str(serve.port)}).advertised}"'
    assert said.encode() in out


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"GANWORKS_HOST": "203.0.113.9"}, "203.0.113.9 is not an address of this machine"),
        ({"GANWORKS_HOST": "no.invalid"}, "is no host that this machine knows"),
        ({"GANWORKS_HOME": "/proc/home"}, "/proc"),
        ({"GANWORKS_TOKEN": "two\nlines"}, "GANWORKS_TOKEN: has characters that no token has"),
    ],
)
def test_what_keeps_it_from_starting_is_told_in_a_line(env: dict[str, str], said: str, tmp_path: Path) -> None:
    plain = {"GANWORKS_HOME": str(tmp_path), "GANWORKS_PORT": str(free_ports(1)[0])}
    done = subprocess.run(SERVE, env={**os.environ, **plain, **env}, capture_output=True, text=True, timeout=600)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_tokens_of_files_end_in_newlines() -> None:
    assert from_environment({"GANWORKS_TOKEN": "abc\n"}).token == "abc"
    assert from_environment({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "of ray\n"}).ray_token == "of ray"


def test_who_has_no_home_is_told_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def expanduser(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", expanduser)
    with pytest.raises(ValueError, match="GANWORKS_HOME: this user has no home folder"):
        from_environment({})
