"""Adversarial losses: what the discriminator's logits cost each player.

Every loss is a mean over samples of a term that sees one real and one fake logit at most, so the mean over the ranks'
means is the mean over the batch. All are written with softplus and run in float64.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import log
from typing import Literal, get_args

import torch.nn.functional as F
from torch import Tensor

LossName = Literal["non_saturating", "minimax", "logistic", "hinge", "least_squares", "wasserstein", "relativistic"]


@dataclass(frozen=True, kw_only=True)
class AdversarialLoss:
    """real, fake: logits of any equal shape; the result is a scalar."""

    discriminator: Callable[[Tensor, Tensor], Tensor]  # (real, fake)
    generator: Callable[[Tensor, Tensor | None], Tensor]  # (fake, real)
    needs_real: bool = False  # the generator's loss looks at real logits too
    smooth: Callable[[Tensor, Tensor, float], Tensor] | None = None  # discriminator's, with a target for reals below 1
    at_chance: float | None = None  # the discriminator's, when it cannot tell; None: the loss has no floor


def adversarial_loss(name: LossName) -> AdversarialLoss:
    return LOSSES[name]


def _cross_entropy(real: Tensor, fake: Tensor) -> Tensor:
    """-log σ(real) - log(1 - σ(fake)); Goodfellow et al., 1406.2661."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def _smoothed_cross_entropy(real: Tensor, fake: Tensor, target: float) -> Tensor:
    """One-sided: smoothed fakes would make the best discriminator praise where it sees fakes (1606.03498)."""
    return _cross_entropy(real, fake) + (1 - target) * (F.softplus(real) - F.softplus(-real)).mean()


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


_CROSS_ENTROPY = {"discriminator": _cross_entropy, "smooth": _smoothed_cross_entropy, "at_chance": 2 * log(2)}
_NON_SATURATING = AdversarialLoss(generator=_non_saturating, **_CROSS_ENTROPY)  # type: ignore[arg-type]

LOSSES: dict[str, AdversarialLoss] = {
    "non_saturating": _NON_SATURATING,
    "logistic": _NON_SATURATING,  # StyleGAN's name for it
    "minimax": AdversarialLoss(generator=_minimax, **_CROSS_ENTROPY),  # type: ignore[arg-type]
    "hinge": AdversarialLoss(discriminator=_hinge, generator=_raise_fake, at_chance=2.0),
    "least_squares": AdversarialLoss(discriminator=_least_squares, generator=_least_squares_generator, at_chance=0.25),
    "wasserstein": AdversarialLoss(discriminator=_wasserstein, generator=_raise_fake),
    "relativistic": AdversarialLoss(
        discriminator=_relativistic, generator=_relativistic_generator, needs_real=True, at_chance=log(2)
    ),
}
assert set(LOSSES) == set(get_args(LossName))
