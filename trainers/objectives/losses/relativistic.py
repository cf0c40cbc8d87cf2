"""Pairs a real with a fake: Jolicoeur-Martineau, 1807.00734, and R3GAN, 2501.05441."""

from math import log

import torch.nn.functional as F
from torch import Tensor

from trainers.objectives.loss import AdversarialLoss


def discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Return -log σ(real - fake), a mean."""
    return F.softplus(fake - real).mean()


def generator(fake: Tensor, real: Tensor | None) -> Tensor:
    """Return -log σ(fake - real), a mean."""
    assert real is not None
    return F.softplus(real - fake).mean()


LOSS = AdversarialLoss(discriminator=discriminator, generator=generator, needs_real=True, at_chance=log(2))
