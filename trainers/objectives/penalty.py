"""What a penalty is: its Config, and its term. Each is a file in `penalties/`, named as in the YAML."""

from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from trainers.config import Part

if TYPE_CHECKING:
    from trainers.gan.turn import Turn

DISCRIMINATOR, GENERATOR = "discriminator", "generator"


class Penalty(Part):
    """A term beside a player's loss."""

    per_sample: ClassVar[bool] = False  # a gradient at single samples: a norm that couples samples bars it
    whole_batch: ClassVar[bool] = False  # needs the whole batch at once: gradient accumulation bars it

    weight: float = Field(default=10.0, gt=0)

    @property
    def player(self) -> str:
        """Say who pays."""
        return DISCRIMINATOR

    @property
    def interval(self) -> int:
        """Return the steps between two of its terms; 1 adds it to the player's own loss."""
        return 1

    def weight_at(self, progress: float) -> float:
        """Return the weight at this share of the training."""
        return self.weight

    def term(self, turn: "Turn") -> Tensor:
        """Return the penalty of a turn without its weight: a mean over samples of a term that sees one sample."""
        raise NotImplementedError

    def state(self) -> dict[str, Tensor]:
        """Return what it remembers from turn to turn, by name: the same on every rank."""
        return {}


class LazyPenalty(Penalty):
    """A penalty that need not come with every step."""

    every: int = Field(
        default=1, ge=1, description="steps between penalties, which are scaled up by it; 1 adds it to the loss"
    )

    @property
    def interval(self) -> int:
        return self.every


def no_part(network: nn.Module) -> Tensor:
    """Return 0, made of every weight that is trained: with it those without part in a penalty (the last bias) get a zero
    gradient, not None. Adam treats the two differently, and DDP waits for each. A loss beside the penalty does as well,
    and 0 times the logits would, at the price of a whole backward."""
    return 0 * torch.stack([weight.sum() for weight in network.parameters() if weight.requires_grad]).sum()
