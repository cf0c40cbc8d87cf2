"""Logits near the other side's running mean: Tseng et al., 2104.03310."""

from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from trainers.objectives.penalty import Penalty
from trainers.parallel import mean_over_ranks

if TYPE_CHECKING:
    from trainers.gan.turn import Turn


class LeCam(Penalty):
    """λ · E[(D(x) - α_F)² + (D(G(z)) - α_R)²], α the running means of the other side's logits (2104.03310)."""

    whole_batch: ClassVar[bool] = True

    weight: float = Field(default=0.3, gt=0, description="λ")
    decay: float = Field(default=0.99, ge=0, lt=1, description="of the running means, per turn")

    def state(self) -> dict[str, Tensor]:
        return {"lecam_real": torch.zeros(()), "lecam_fake": torch.zeros(())}

    def term(self, turn: "Turn") -> Tensor:
        real, fake = turn.real.logits, turn.fake.logits
        means = turn.state["lecam_real"], turn.state["lecam_fake"]
        value = crossed_gaps(real, fake, means[0].clone(), means[1].clone())
        with torch.no_grad():
            for mean, logits in zip(means, (real, fake), strict=True):
                mean.lerp_(mean_over_ranks(logits.detach().mean()), 1 - self.decay)
        return value


def crossed_gaps(real: Tensor, fake: Tensor, mean_real: Tensor, mean_fake: Tensor) -> Tensor:
    """Return E[(D(x) - α_F)²] + E[(D(G(z)) - α_R)²]."""
    return (real - mean_fake).square().mean() + (fake - mean_real).square().mean()
