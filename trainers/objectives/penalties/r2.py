"""The squared slope at fakes: Mescheder et al., 1801.04406."""

from typing import TYPE_CHECKING

from torch import Tensor

from trainers.objectives.penalties.r1 import R1, half_squared_slope

if TYPE_CHECKING:
    from trainers.gan.turn import Turn


class R2(R1):
    """γ/2 · E[‖∇D(x)‖²] at fakes (1801.04406)."""

    def term(self, turn: "Turn") -> Tensor:
        return half_squared_slope(turn.logits_of("fake"), turn.fakes.samples)
