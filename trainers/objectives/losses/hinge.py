"""The hinge: Lim and Ye, 1705.02894."""

import torch.nn.functional as F
from torch import Tensor

from trainers.objectives.loss import AdversarialLoss


def discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Return max(0, 1 - real) + max(0, 1 + fake), a mean."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def generator(fake: Tensor, real: Tensor | None) -> Tensor:
    """Return -fake, a mean."""
    return -fake.mean()


LOSS = AdversarialLoss(discriminator=discriminator, generator=generator, at_chance=2.0)
