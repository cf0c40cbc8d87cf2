"""How a training talks to whoever runs it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from trainers.monitoring.health import Finding

Command = Literal["continue", "checkpoint_and_stop", "cancel"]
COMMANDS: tuple[Command, ...] = ("continue", "checkpoint_and_stop", "cancel")


@dataclass(frozen=True, kw_only=True)
class Tick:
    """One progress report."""

    examples: int  # shown so far, over all ranks and attempts
    steps: int
    total_examples: int
    seconds: float  # since this attempt's loop began
    examples_per_second: float  # since the tick before
    stats: Mapping[str, float]  # loss/<phase>, grad_norm/<network>, lr/<player>, logits/real, logits/fake …
    activity_seconds: Mapping[str, float]  # data, each phase, checkpoint, grid: since the tick before
    checkpoint_stall_seconds: float  # how long checkpoints made training stand still since the tick before
    findings: tuple[Finding, ...] = ()  # what is wrong, and what was done about it


class Hooks(Protocol):
    """Called on rank 0 alone; none of them may raise."""

    def tick(self, tick: Tick) -> Command:
        """Return the command for all ranks; must be quick, for all of them wait."""
        ...

    def checkpoint(self, folder: Path, examples: int) -> None:
        """Take a whole checkpoint, which is in `folder`; return when it is safe elsewhere. Called on a background thread."""
        ...

    def grid(self, path: Path, examples: int) -> None:
        """Take a picture, which is at `path`. Called on the background thread."""
        ...

    def rolled_back(self, examples: int) -> None:
        """Learn that the training went back to there: no later checkpoint may be resumed from. Called on the background thread."""
        ...


class NoHooks:
    """Goes on to the end and keeps nothing elsewhere."""

    def tick(self, tick: Tick) -> Command:
        return "continue"

    def checkpoint(self, folder: Path, examples: int) -> None: ...

    def grid(self, path: Path, examples: int) -> None: ...

    def rolled_back(self, examples: int) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How it ended. Paths are None on ranks other than 0."""

    status: Literal["finished", "stopped", "cancelled"]
    examples: int
    steps: int
    checkpoint: Path | None
    model: Path | None  # None unless finished
    grid: Path | None
