"""Least squares: Mao et al., 1611.04076, with a = 0, b = c = 1."""

from torch import Tensor

from trainers.objectives.loss import AdversarialLoss


def discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Return ((real - 1)² + fake²) / 2, a mean."""
    return ((real - 1).square().mean() + fake.square().mean()) / 2


def generator(fake: Tensor, real: Tensor | None) -> Tensor:
    """Return (fake - 1)² / 2, a mean."""
    return (fake - 1).square().mean() / 2


LOSS = AdversarialLoss(discriminator=discriminator, generator=generator, at_chance=0.25)
