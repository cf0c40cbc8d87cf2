"""A server may be away for a while: it restarts, and jobs run on."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from orchestrator.cli.errors import CliError, Exit
from orchestrator.cli.output import note

if TYPE_CHECKING:
    from orchestrator.cli.client import Client

POLL = 0.5  # seconds
PATIENCE = 120.0  # seconds that a server may be away


class Patient:
    """Gets from a server, waits where it is away, and says so once."""

    def __init__(
        self,
        client: "Client",
        *,
        say: Callable[[str], None] = note,
        alive: Callable[[], None] = lambda: None,
        patience: float = PATIENCE,
    ) -> None:
        """Take a client. alive: may raise to give up."""
        self._client, self._say, self._alive, self._patience = client, say, alive, patience
        self._away_since: float | None = None

    def get(self, path: str, **query: Any) -> Any:
        """Return what Client.get does. Raises CliError: UNREACHABLE once the server is away for too long."""
        while True:
            self._alive()
            try:
                answer = self._client.get(path, **query)
            except CliError as error:
                self._wait(error)
            else:
                self._is_back()
                return answer

    def _wait(self, error: CliError) -> None:
        now = time.monotonic()
        if error.code != Exit.UNREACHABLE or now - (self._away_since or now) > self._patience:
            raise error
        if self._away_since is None:
            self._away_since = now
            self._say(f"{self._client.url} does not answer; jobs go on without it. Waiting for it (Ctrl-C ends)")
        time.sleep(POLL)

    def _is_back(self) -> None:
        if self._away_since is not None:
            self._away_since = None
            self._say(f"{self._client.url} answers again")
