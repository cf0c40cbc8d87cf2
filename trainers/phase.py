"""A phase: what one player does in a training step, and when it does so."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from trainers.batch import Batch
from trainers.randomness.draws import Draws

Networks = Mapping[str, nn.Module]
Moment = int | float  # an int counts real examples shown, a float is a share of the training (0..1)


@dataclass(frozen=True, kw_only=True)
class Loss:
    value: Tensor  # scalar: the mean over this rank's samples
    stats: Mapping[str, Tensor] = field(default_factory=dict)  # detached scalars, averaged until the next tick


@dataclass(frozen=True, kw_only=True)
class Phase:
    name: str
    trains: tuple[str, ...]  # names of the networks whose weights it moves; all others are frozen meanwhile
    optimizer: str  # name of the optimizer that steps; several phases may share one
    loss: Callable[[Networks, Batch, Draws], Loss]
    interval: int = 1  # it has its turn in every so-many-th training step
    steps: int | Callable[[int], int] = 1  # of its optimizer within a training step; or a function of the step's number
    new_batch: bool = False  # each of them takes new real examples; else it sees those of the one before
    batch_multiple: int = 1  # samples of its optimizer steps, as a multiple of the batch: each group so many times
    begin: Moment = 0  # when it has its first turn
    end: Moment | None = None  # when it has no more; None: never

    def is_due(self, step: int, examples: int, total: int) -> bool:
        """Return whether it has its turn in this training step. examples, total: shown before it, and in all."""
        began = examples >= _in_examples(self.begin, total)
        ended = self.end is not None and examples >= _in_examples(self.end, total)
        return began and not ended and step % self.interval == 0

    def steps_at(self, step: int) -> int:
        """Return how many optimizer steps it takes in this training step."""
        return self.steps(step) if callable(self.steps) else self.steps


def _in_examples(moment: Moment, total: int) -> float:
    return moment * total if isinstance(moment, float) else moment


def batches_in(phases: list[Phase], step: int, examples: int, total: int) -> int:
    """Return how many batches of real examples a training step shows: the first optimizer step always takes a new one."""
    count = 0
    for phase in phases:
        if phase.is_due(step, examples, total):
            taken = phase.steps_at(step)
            count += taken if phase.new_batch else int(count == 0 and taken > 0)
    return max(count, 1)
