"""A phase: one player's turn in a training step."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from trainers.randomness.draws import Draws

Networks = Mapping[str, nn.Module]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """This rank's part of a batch, of real examples or of fakes."""

    samples: Tensor  # [n, channels, height, width] in -1..1
    labels: Tensor | None  # [n] int64

    def parts(self, count: int) -> list["Batch"]:
        """So many of equal size, in order."""
        labels = self.labels.chunk(count) if self.labels is not None else [None] * count
        return [Batch(samples=part, labels=own) for part, own in zip(self.samples.chunk(count), labels, strict=True)]

    def first_of_groups(self, group: int, count: int) -> "Batch":
        """So many of each group of consecutive samples."""

        def first(tensor: Tensor) -> Tensor:
            return tensor.unflatten(0, (-1, group))[:, :count].flatten(0, 1)

        return Batch(samples=first(self.samples), labels=None if self.labels is None else first(self.labels))


@dataclass(frozen=True, kw_only=True)
class Loss:
    value: Tensor  # scalar: the mean over this rank's samples
    stats: Mapping[str, Tensor] = field(default_factory=dict)  # detached scalars, averaged until the next tick


@dataclass(frozen=True, kw_only=True)
class Phase:
    name: str
    trains: tuple[str, ...]  # names of the networks whose weights it moves; all others are frozen meanwhile
    optimizer: str  # name of the player whose optimizer steps; several phases may share one
    loss: Callable[[Networks, Batch, Draws], Loss]
    interval: int = 1  # it has its turn in every so-many-th step
    turns: int = 1  # within a step
    fresh: bool = False  # each turn takes new real examples; else it sees those of the turn before

    def is_due(self, step: int) -> bool:
        return step % self.interval == 0
