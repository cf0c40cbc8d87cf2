"""Weights whose rows are orthogonal: Brock et al., 1809.11096."""

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from trainers.objectives.penalty import LazyPenalty

if TYPE_CHECKING:
    from trainers.gan.turn import Turn


class Orthogonal(LazyPenalty):
    """β/2 · Σ ‖W Wᵀ ⊙ (1 - I)‖² over a player's weights (BigGAN's form, 1809.11096).

    The half gives β the size that it has in the authors' code, whose gradient is 2β (W Wᵀ ⊙ (1 - I)) W.
    """

    weight: float = Field(default=1e-4, gt=0, description="β")
    of: Literal["generator", "discriminator"] = Field(default="generator", description="whose weights")

    @property
    def player(self) -> str:
        return self.of

    def term(self, turn: "Turn") -> Tensor:
        return off_diagonals(turn.networks[self.of])


def exempt(module: nn.Module) -> None:
    """Leave a module's weights out of the penalty, as BigGAN does with its shared class embedding."""
    for weight in module.parameters():
        weight.is_free_of_orthogonality = True  # type: ignore[attr-defined]


def off_diagonals(network: nn.Module) -> Tensor:
    """Return Σ ‖W Wᵀ ⊙ (1 - I)‖² / 2 over weights with more than one axis."""
    trained = [weight for weight in network.parameters() if weight.requires_grad]  # not those of a later stage
    weights = [w for w in trained if w.ndim > 1 and not getattr(w, "is_free_of_orthogonality", False)]
    return torch.stack([_off_diagonal(weight.flatten(1)) for weight in weights]).sum() / 2


def _off_diagonal(rows: Tensor) -> Tensor:
    products = rows @ rows.T
    return (products - torch.diag(products.diagonal())).square().sum()
