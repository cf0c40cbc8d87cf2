"""Where a server listens: names, IPv4 and IPv6; each refusal says which it is."""

import socket

import pytest

from orchestrator import addresses
from orchestrator.local import processes
from orchestrator.settings import Settings


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("::1", "http://[::1]:80"),
        ("[::1]", "http://[::1]:80"),
        ("server.example", "http://server.example:80"),
    ],
)
def test_a_url_has_brackets_where_it_needs_them(host: str, url: str) -> None:
    assert addresses.url(host, 80) == url
    assert Settings(host=host, port=80).advertised == url


@pytest.mark.parametrize(
    ("host", "here"),
    [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("[::]", "::1"), ("127.0.0.5", "127.0.0.5"), ("::1", "::1")],
)
def test_from_here_a_server_is_reached_where_it_listens(host: str, here: str) -> None:
    assert addresses.from_here(host) == here


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.5", "localhost", "::1", "[::1]", "0.0.0.0", "::"])
def test_what_listens_is_reached(host: str) -> None:
    with addresses.listen(host, 0) as listening:
        port = listening.getsockname()[1]
        with socket.create_connection((addresses.from_here(host), port), timeout=5):
            assert processes.is_taken(host, port)


def test_a_taken_port_is_taken() -> None:
    with addresses.listen("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(addresses.CannotListen, match=f"port {port} on 127.0.0.1 is taken"):
            addresses.listen("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("203.0.113.9", "203.0.113.9 is not an address of this machine"),
        ("2001:db8::1", "2001:db8::1 is not an address of this machine"),
        ("no-such-host.invalid", "'no-such-host.invalid' is no host that this machine knows"),
        ("a" * 70, "is no host that this machine knows"),
    ],
)
def test_what_is_not_here_is_not_called_taken(host: str, said: str) -> None:
    with pytest.raises(addresses.CannotListen, match=said):
        addresses.listen(host, 0)


def test_from_elsewhere_a_server_that_listens_everywhere_has_the_machines_name() -> None:
    assert Settings(host="0.0.0.0", port=80).advertised == f"http://{socket.gethostname()}:80"
    assert Settings(host="::", port=80).advertised == f"http://{socket.gethostname()}:80"
