"""Adversarial losses: what the discriminator's logits cost each player.

Every loss is a mean over samples of a term that sees one real and one fake logit at most, so the mean over the ranks'
means is the mean over the batch. All are written with softplus and run in float64.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch.nn.functional as F
from torch import Tensor

LossName = Literal["non_saturating", "minimax", "hinge", "least_squares", "wasserstein", "relativistic"]


@dataclass(frozen=True, kw_only=True)
class AdversarialLoss:
    """real, fake: logits of any equal shape; the result is a scalar."""

    discriminator: Callable[[Tensor, Tensor], Tensor]  # (real, fake)
    generator: Callable[[Tensor, Tensor | None], Tensor]  # (fake, real)
    needs_real: bool = False  # the generator's loss looks at real logits too


def adversarial_loss(name: LossName) -> AdversarialLoss:
    return LOSSES[name]


def _cross_entropy(real: Tensor, fake: Tensor) -> Tensor:
    """-log σ(real) - log(1 - σ(fake)); Goodfellow et al., 1406.2661."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def _non_saturating(fake: Tensor, real: Tensor | None) -> Tensor:
    """-log σ(fake)."""
    return F.softplus(-fake).mean()


def _minimax(fake: Tensor, real: Tensor | None) -> Tensor:
    """log(1 - σ(fake)), which saturates while the discriminator wins."""
    return -F.softplus(fake).mean()


def _hinge(real: Tensor, fake: Tensor) -> Tensor:
    """Lim and Ye, 1705.02894."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def _least_squares(real: Tensor, fake: Tensor) -> Tensor:
    """Mao et al., 1611.04076, with a = 0, b = c = 1."""
    return ((real - 1).square().mean() + fake.square().mean()) / 2


def _least_squares_generator(fake: Tensor, real: Tensor | None) -> Tensor:
    return (fake - 1).square().mean() / 2


def _wasserstein(real: Tensor, fake: Tensor) -> Tensor:
    """Arjovsky et al., 1701.07875."""
    return fake.mean() - real.mean()


def _raise_fake(fake: Tensor, real: Tensor | None) -> Tensor:
    return -fake.mean()


def _relativistic(real: Tensor, fake: Tensor) -> Tensor:
    """Pairs a real with a fake; Jolicoeur-Martineau, 1807.00734, and R3GAN, 2501.05441."""
    return F.softplus(fake - real).mean()


def _relativistic_generator(fake: Tensor, real: Tensor | None) -> Tensor:
    assert real is not None
    return F.softplus(real - fake).mean()


LOSSES: dict[str, AdversarialLoss] = {
    "non_saturating": AdversarialLoss(discriminator=_cross_entropy, generator=_non_saturating),
    "minimax": AdversarialLoss(discriminator=_cross_entropy, generator=_minimax),
    "hinge": AdversarialLoss(discriminator=_hinge, generator=_raise_fake),
    "least_squares": AdversarialLoss(discriminator=_least_squares, generator=_least_squares_generator),
    "wasserstein": AdversarialLoss(discriminator=_wasserstein, generator=_raise_fake),
    "relativistic": AdversarialLoss(discriminator=_relativistic, generator=_relativistic_generator, needs_real=True),
}
assert set(LOSSES) == set(get_args(LossName))
