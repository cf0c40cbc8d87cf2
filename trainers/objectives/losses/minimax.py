"""The game's own value, which saturates while the discriminator wins: Goodfellow et al., 1406.2661."""

import torch.nn.functional as F
from torch import Tensor

from trainers.objectives.cross_entropy import AT_CHANCE, cross_entropy, smoothed_cross_entropy
from trainers.objectives.loss import AdversarialLoss


def generator(fake: Tensor, real: Tensor | None) -> Tensor:
    """Return log(1 - σ(fake)), a mean."""
    return -F.softplus(fake).mean()


LOSS = AdversarialLoss(
    discriminator=cross_entropy, smooth=smoothed_cross_entropy, generator=generator, at_chance=AT_CHANCE
)
