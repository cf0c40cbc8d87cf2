"""Equal logits for a picture and the same picture a little changed: Zhang et al., 1910.12027."""

from typing import TYPE_CHECKING

from pydantic import Field
from torch import Tensor

from trainers.objectives.penalty import LazyPenalty
from trainers.objectives.shifts import mirrored, shifted

if TYPE_CHECKING:
    from trainers.gan.turn import Turn


class Consistency(LazyPenalty):
    """λ · E[(D(x) - D(T(x)))²], T a flip and a shift of reals (1910.12027)."""

    weight: float = Field(default=10.0, gt=0, description="λ")
    shift: float = Field(default=0.125, ge=0, le=0.5, description="largest, as a share of the picture")

    def term(self, turn: "Turn") -> Tensor:
        reals = turn.reals.samples
        changed = shifted(mirrored(reals, turn.draws, "consistency"), turn.draws, self.shift)
        logits = turn.logits_of("real")
        return squared_gap(logits(reals), logits(changed))


def squared_gap(logits: Tensor, changed: Tensor) -> Tensor:
    """Return E[(D(x) - D(T(x)))²]."""
    return (logits - changed).square().mean()
