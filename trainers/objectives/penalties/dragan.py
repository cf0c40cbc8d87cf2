"""Slopes of 1 around reals: Kodali et al., 1705.07215. The noise is normal, as in the paper's equation; its size is that of
the authors' code, half the deviation of the real data."""

from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from trainers.objectives.penalty import LazyPenalty
from trainers.objectives.slopes import unit_slope
from trainers.parallel import mean_over_ranks

if TYPE_CHECKING:
    from trainers.gan.turn import Turn


class Dragan(LazyPenalty):
    """λ · E[(‖∇D(x + δ)‖ - 1)²] around reals, δ normal (1705.07215)."""

    per_sample: ClassVar[bool] = True
    whole_batch: ClassVar[bool] = True

    weight: float = Field(default=10.0, gt=0, description="λ")
    spread: float = Field(default=0.5, gt=0, description="deviation of the noise δ, in deviations of the real data")

    def term(self, turn: "Turn") -> Tensor:
        reals = turn.reals.samples
        noise = turn.draws.normal("dragan", *reals.shape[1:])
        return unit_slope(turn.logits_of("real"), reals + self.spread * _deviation(reals) * noise)


def _deviation(samples: Tensor) -> Tensor:
    """Return that of all numbers of the whole batch."""
    mean, square = mean_over_ranks(torch.stack([samples.mean(), samples.square().mean()]))
    return (square - mean.square()).clamp_min(0).sqrt()
