"""Slopes of 1 between reals and fakes: Gulrajani et al., 1704.00028."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from torch import Tensor

from trainers.objectives.penalty import LazyPenalty
from trainers.objectives.slopes import Discriminate, unit_slope

if TYPE_CHECKING:
    from trainers.gan.turn import Turn


class GradientPenalty(LazyPenalty):
    """λ · E[(‖∇D(x)‖ - 1)²] between reals and fakes (WGAN-GP, 1704.00028)."""

    per_sample: ClassVar[bool] = True

    weight: float = Field(default=10.0, gt=0, description="λ")
    drift: float = Field(default=0.0, ge=0, description="of E[D(x)²] at reals, which keeps logits near 0 (1710.10196)")

    def term(self, turn: "Turn") -> Tensor:
        mix, logits = turn.draws.uniform("interpolation", 1, 1, 1), turn.logits_of("real")
        value = between(logits, turn.reals.samples, turn.fakes.samples, mix)
        if self.drift:
            value = value + self.drift / self.weight * logits(turn.reals.samples).square().mean()
        return value


def between(discriminate: Discriminate, reals: Tensor, fakes: Tensor, mix: Tensor) -> Tensor:
    """Return E[(‖∇D(x)‖ - 1)²] at x = mix · real + (1 - mix) · fake. mix: [n, 1, 1, 1] in 0..1"""
    return unit_slope(discriminate, mix * reals + (1 - mix) * fakes)
