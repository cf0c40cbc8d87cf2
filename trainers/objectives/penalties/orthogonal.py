"""Weights whose rows are orthogonal: Brock et al., 1809.11096."""

from typing import TYPE_CHECKING

import torch
from pydantic import Field
from torch import Tensor, nn

from trainers.objectives.penalty import LazyPenalty

if TYPE_CHECKING:
    from trainers.gan.turn import Turn


class Orthogonal(LazyPenalty):
    """β · Σ ‖W Wᵀ ⊙ (1 - I)‖² over the discriminator's weights (BigGAN's form, 1809.11096)."""

    weight: float = Field(default=1e-4, gt=0, description="β")

    def term(self, turn: "Turn") -> Tensor:
        return off_diagonals(turn.discriminator)


def off_diagonals(network: nn.Module) -> Tensor:
    """Return Σ ‖W Wᵀ ⊙ (1 - I)‖² over weights with more than one axis."""
    weights = [weight for weight in network.parameters() if weight.requires_grad]  # not those of a later stage
    return torch.stack([_off_diagonal(weight.flatten(1)) for weight in weights if weight.ndim > 1]).sum()


def _off_diagonal(rows: Tensor) -> Tensor:
    products = rows @ rows.T
    return (products - torch.diag(products.diagonal())).square().sum()
