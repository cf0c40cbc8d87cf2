"""The squared slope at real samples: Mescheder et al., 1801.04406."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from torch import Tensor

from trainers.config import falling
from trainers.objectives.penalty import LazyPenalty
from trainers.objectives.slopes import Discriminate, mean_of, slopes

if TYPE_CHECKING:
    from trainers.gan.turn import Turn


class R1(LazyPenalty):
    """γ/2 · E[‖∇D(x)‖²] at real samples (1801.04406)."""

    per_sample: ClassVar[bool] = True

    weight: float = Field(default=10.0, gt=0, description="γ")
    final_weight: float | None = Field(
        default=None, ge=0, description="γ at the end of the training, reached by a cosine; null: it stays"
    )

    def weight_at(self, progress: float) -> float:
        if self.final_weight is None:
            return self.weight
        return self.final_weight + (self.weight - self.final_weight) * falling(progress)

    def term(self, turn: "Turn") -> Tensor:
        return half_squared_slope(turn.logits_of("real"), turn.reals.samples)


def half_squared_slope(discriminate: Discriminate, at: Tensor) -> Tensor:
    """Return E[‖∇D(x)‖²] / 2 at some samples."""
    return mean_of(slope.square().flatten(1).sum(1).mean() for slope in slopes(discriminate, at)) / 2
