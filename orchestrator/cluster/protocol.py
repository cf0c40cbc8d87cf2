"""What the supervisor asks of a cluster: tests/contract/test_cluster.py holds Ray's gateway and its twin to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from orchestrator.policies.liveness import Driver
from orchestrator.scheduler import Node


class Unreachable(Exception):
    """Ray gave no answer. That says nothing about its jobs."""


class Refused(Exception):
    """Ray answered no."""


@dataclass(frozen=True, kw_only=True)
class LogPart:
    """A range of a log, and how long the whole is by now: it may be of any size, and nobody holds all of it."""

    data: bytes
    size: int  # bytes


class Cluster(Protocol):
    def nodes(self) -> Sequence[Node]:
        """Return the living nodes and what each has in all."""

    def free(self) -> dict[str, float]:
        """Return what Ray calls unused, by resource; a few seconds old."""

    def drivers(self) -> dict[str, Driver]:
        """Return every driver that Ray knows, by submission id."""

    def driver(self, submission_id: str) -> Driver | None: ...

    def submit(self, submission_id: str, entrypoint: str, env: Mapping[str, str], metadata: Mapping[str, str]) -> None:
        """Hand a driver to Ray. Raises Refused when Ray is sure not to have taken it."""

    def stop(self, submission_id: str) -> None:
        """Ask Ray to stop a driver: SIGTERM, then SIGKILL. Fine if it is gone."""

    def read_log(self, submission_id: str, start: int, stop: int) -> LogPart | None:
        """Return the bytes [start, stop) of what the driver wrote so far; None if Ray does not know it."""

    def delete(self, submission_id: str) -> None:
        """Make Ray forget a driver that ended."""
