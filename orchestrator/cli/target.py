"""Which server a command speaks to, and with which token.

A token is sent only to the server that it was made for: one that `up` or `login` keeps goes nowhere else, whatever
`--url` says.
"""

import json
import os
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from orchestrator.cli import contexts
from orchestrator.cli.errors import CliError, Exit
from orchestrator.cli.home import home

__all__ = ["Target", "home", "is_local", "understand_url"]

if TYPE_CHECKING:
    from orchestrator.cli.client import Client

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(kw_only=True)
class Target:
    url: str | None = None
    token: str | None = None
    context: str | None = None

    @cached_property
    def client(self) -> "Client":
        from orchestrator.cli.client import Client

        url, token = self.resolve()
        return Client(url, token)

    def close(self) -> None:
        """Let the connection go, if there is one."""
        if "client" in self.__dict__:
            self.client.close()

    def resolve(self) -> tuple[str, str]:
        """Return URL and token. The URL: flag over --context over environment over the current context over what `up`
        wrote. CliError when no server or no token is known."""
        kept = contexts.read()
        url = self.url or (self.context and kept.named(self.context)["url"]) or os.environ.get("GANWORKS_URL")
        url = url or kept.chosen(os.environ.get("GANWORKS_CONTEXT")).get("url") or _stack_url()
        if not url:
            raise CliError(
                "no server: start one with `ganworks up`, or name one with `ganworks login URL`, GANWORKS_URL or --url",
                Exit.UNREACHABLE,
            )
        url = understand_url(url)
        token = self.token or _from_environment(url) or _from_login(url, kept) or _from_home(url)
        if not (token or "").strip():
            raise CliError(f"no token for {url}: `ganworks login {url}`, or GANWORKS_TOKEN, or --token", Exit.REFUSED)
        return url, _sound(str(token).strip(), url)


def _sound(token: str, url: str) -> str:
    """Return a token that can be sent. CliError for one that no server has made, such as two lines of a file."""
    if not (token.isascii() and token.isprintable()):
        raise CliError(f"the token for {url} has characters that no token has; look at GANWORKS_TOKEN", Exit.REFUSED)
    return token


def understand_url(text: str) -> str:
    """Return an address as a URL: `localhost:8420` is http://localhost:8420. CliError names what is no address."""
    url = text.strip()
    url = url if url.endswith("://") else url.rstrip("/")
    if "://" not in url:
        url = f"http://{url}"
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or True)
    except ValueError:
        is_good = False
    if not is_good or re.search(r"[\s\x00-\x1f]", url):
        raise CliError(f"{text!r} is no address of a server; such as http://localhost:8420")
    return url


def is_local(url: str) -> bool:
    """Decide whether a server is on this machine."""
    return urlsplit(url).hostname in LOOPBACK


def _from_environment(url: str) -> str | None:
    """Return GANWORKS_TOKEN, unless GANWORKS_URL says that it is another server's."""
    other = os.environ.get("GANWORKS_URL")
    return os.environ.get("GANWORKS_TOKEN") if not other or _is_same(other, url) else None


def _from_login(url: str, kept: contexts.Contexts) -> str | None:
    return next((each["token"] for each in kept.known.values() if _is_same(each["url"], url)), None)


def _from_home(url: str) -> str | None:
    """Return the token that a server of this machine has made."""
    stack = _stack_url()
    if not is_local(url) and not (stack and _is_same(stack, url)):
        return None
    try:
        return (home() / "token").read_text().strip()
    except OSError:
        return None


def _is_same(one: str, other: str) -> bool:
    first, second = urlsplit(understand_url(one)), urlsplit(understand_url(other))
    return (first.scheme, first.hostname, first.port) == (second.scheme, second.hostname, second.port)


def _stack_url() -> str | None:
    try:
        url = json.loads((home() / "stack.json").read_text())["url"]
    except (OSError, ValueError, KeyError):
        return None
    return str(url)
