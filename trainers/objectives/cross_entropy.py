"""The discriminator's cross-entropy, which several losses share."""

from math import log

import torch.nn.functional as F
from torch import Tensor

AT_CHANCE = 2 * log(2)


def cross_entropy(real: Tensor, fake: Tensor) -> Tensor:
    """Return -log σ(real) - log(1 - σ(fake)), a mean; Goodfellow et al., 1406.2661."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def smoothed_cross_entropy(real: Tensor, fake: Tensor, target: float) -> Tensor:
    """Return it with a target below 1 for reals alone: smoothed fakes would make the best discriminator praise where it
    sees fakes (1606.03498)."""
    return cross_entropy(real, fake) + (1 - target) * (F.softplus(real) - F.softplus(-real)).mean()
