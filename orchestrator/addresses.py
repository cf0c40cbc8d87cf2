"""Where a server listens, and what others call that: names, IPv4 and IPv6 alike."""

import errno
import socket
from typing import Any

_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_WHY = {
    errno.EADDRINUSE: "port {port} on {host} is taken; end what listens there, or choose another port",
    errno.EADDRNOTAVAIL: "{host} is not an address of this machine; `ip address` lists those",
    errno.EACCES: "port {port} on {host} is for root alone; choose one above 1023",
}


class CannotListen(RuntimeError):
    """Nothing can listen there; the message says why."""


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens at a name or address; port 0 takes a free one. Raises CannotListen."""
    family, address = _resolved(host, port)
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        why = _WHY.get(error.errno or 0, "port {port} on {host} cannot be used ({said})")
        raise CannotListen(why.format(host=host, port=port, said=error.strerror)) from None
    return listening


def _resolved(host: str, port: int) -> tuple[socket.AddressFamily, Any]:
    try:
        found = socket.getaddrinfo(_bare(host), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise CannotListen(f"{host!r} is no host that this machine knows ({error})") from None
    family, _, _, _, address = sorted(found, key=lambda each: each[0] != socket.AF_INET)[0]
    return family, address


def url(host: str, port: int) -> str:
    """Return `http://host:port`, an IPv6 address in its brackets."""
    bare = _bare(host)
    return f"http://[{bare}]:{port}" if ":" in bare else f"http://{bare}:{port}"


def is_anywhere(host: str) -> bool:
    return _bare(host) in _ANYWHERE


def from_here(host: str) -> str:
    """Return the address at which processes of this machine reach what listens at `host`."""
    return _ANYWHERE.get(_bare(host), _bare(host))


def _bare(host: str) -> str:
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host
