"""The environment that our processes need, made of those that people have."""

import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from jobs import direct, environment
from jobs.datasets.find import download
from orchestrator.local import processes, ray_head

DEAD = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A test begins without proxies and certificates of its user's, and leaves the environment as it was."""
    before = dict(os.environ)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def server() -> Iterator[str]:
    """A server on loopback that answers everything with `yes`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "3")
            self.end_headers()
            self.wfile.write(b"yes")

        def log_message(self, *_: object) -> None:
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_address[1]}"
    running.shutdown()
    running.server_close()


@pytest.mark.parametrize(
    "env",
    [
        {"http_proxy": DEAD, "HTTP_PROXY": DEAD},
        {"ALL_PROXY": "socks5://127.0.0.1:9"},
        {"ALL_PROXY": "nonsense://"},
        {"NO_PROXY": "[::1]"},
        {"http_proxy": DEAD, "NO_PROXY": "*.example.com,10.0.0.0/8"},
    ],
)
def test_our_own_processes_are_never_reached_through_a_proxy(
    server: str, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    with direct.client(timeout=5) as client:
        assert client.get(server).text == "yes"


@pytest.mark.parametrize("listed", ["", "[::1]", "example.com, 10.0.0.0/8", "127.0.0.1"])
def test_data_on_this_machine_is_fetched_without_the_proxy(
    server: str, listed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"http_proxy": DEAD, "NO_PROXY": listed, "no_proxy": ""}.items():
        monkeypatch.setenv(name, value)
    environment.settle()
    assert download(f"{server}/data", lambda *_: None) == (b"yes", None)


def test_remote_data_goes_through_the_proxy(monkeypatch: pytest.MonkeyPatch, server: str) -> None:
    monkeypatch.setenv("http_proxy", server)
    environment.settle()
    assert download("http://data.example/set", lambda *_: None) == (b"yes", None)


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "nonsense://x", "http://[::1"])
def test_a_proxy_that_cannot_be_used_is_a_reason(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    content, why = download("http://data.example/set", lambda *_: None)
    assert content is None
    assert why
    assert why.startswith("cannot be reached (")


def test_loopback_is_exempt_whatever_else_is() -> None:
    assert environment.changes({})["NO_PROXY"] == "localhost,127.0.0.1,::1"
    changed = environment.changes({"no_proxy": "a.example b.example", "NO_PROXY": "[fe80::1],a.example"})
    assert changed["no_proxy"] == "a.example,b.example,fe80::1,localhost,127.0.0.1,::1"


def test_what_is_right_is_left_alone() -> None:
    environ = {"HOME": "/home/u", "USER": "u"}
    environment.settle(environ)
    before = dict(environ)
    environment.settle(environ)
    assert environ == before
    assert environ["HOME"] == "/home/u"


def test_a_user_whom_nobody_knows_has_a_name_and_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 47_110)
    changed = environment.changes({"GANWORKS_HOME": "/works"})
    assert (changed["LOGNAME"], changed["HOME"]) == ("uid-47110", "/works")
    assert "HOME" not in environment.changes({})  # there is none to be had
    assert "LOGNAME" not in environment.changes({"USER": "me"})


def test_who_is_known_has_the_home_of_passwd(monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment.changes({})["HOME"] == os.path.expanduser("~root" if os.getuid() == 0 else "~")


def test_certificates_that_are_named_are_trusted(tmp_path: Path) -> None:
    own = direct._trusted(None, None)
    assert own.get_ca_certs()
    assert direct._trusted(None, None) is own  # made once
    assert not direct._trusted(None, str(tmp_path)).get_ca_certs()  # that folder has none


@pytest.mark.parametrize(
    "name", ["RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_RUNTIME_ENV_HOOK", "RANK", "GLOO_SOCKET_IFNAME"]
)
def test_what_is_set_for_another_ray_is_not_for_ours(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "of another")
    env = ray_head.environment(tmp_path, "stack", tmp_path)
    assert name not in env
    assert env[processes.MARK] == "stack"
    assert env["RAY_AUTH_TOKEN_PATH"] == str(tmp_path / "ray-token")


def test_ray_is_bound_to_loopback(tmp_path: Path) -> None:
    """Its own switch for one-node clusters: with it 127.0.0.1 is not taken for the address of the network."""
    assert ray_head.environment(tmp_path, "stack", tmp_path)["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"


def test_httpx_itself_falls_over_such_an_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `direct` is for: with the environment trusted, a client cannot even be made."""
    monkeypatch.setenv("NO_PROXY", "[::1]")
    with pytest.raises(httpx.InvalidURL):
        httpx.Client()
