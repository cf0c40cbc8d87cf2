"""Which server: flag over environment over `login`'s context over what `up` wrote."""

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli.errors import CliError, Exit

if TYPE_CHECKING:
    from orchestrator.cli.client import Client


def home() -> Path:
    return Path(os.environ.get("GANWORKS_HOME") or "~/.ganworks").expanduser().absolute()


@dataclass(kw_only=True)
class Target:
    url: str | None = None
    token: str | None = None

    @cached_property
    def client(self) -> "Client":
        from orchestrator.cli.client import Client

        url, token = self.resolve()
        return Client(url, token)

    def resolve(self) -> tuple[str, str]:
        """Return URL and token. Raises CliError when no server is known."""
        url = self.url or os.environ.get("GANWORKS_URL") or _login("url") or _stack_url()
        if not url:
            raise CliError("no server: start one with `ganworks up`, or set GANWORKS_URL (or --url)", Exit.UNREACHABLE)
        token = self.token or os.environ.get("GANWORKS_TOKEN") or _login("token") or _kept_token()
        if not token:
            raise CliError(f"no token for {url}: set GANWORKS_TOKEN (or --token)", Exit.REFUSED)
        return url.rstrip("/"), token


def _login(field: str) -> str | None:
    try:
        return json.loads((home() / "login.json").read_text()).get(field)
    except (OSError, ValueError):
        return None


def _stack_url() -> str | None:
    try:
        return json.loads((home() / "stack.json").read_text())["url"]
    except (OSError, ValueError, KeyError):
        return None


def _kept_token() -> str | None:
    try:
        return (home() / "token").read_text().strip()
    except OSError:
        return None
