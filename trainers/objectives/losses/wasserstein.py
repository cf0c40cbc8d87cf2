"""The Wasserstein distance's dual: Arjovsky et al., 1701.07875."""

from torch import Tensor

from trainers.objectives.loss import AdversarialLoss


def discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Return mean(fake) - mean(real): the critic's values know no floor."""
    return fake.mean() - real.mean()


def generator(fake: Tensor, real: Tensor | None) -> Tensor:
    """Return -mean(fake)."""
    return -fake.mean()


LOSS = AdversarialLoss(discriminator=discriminator, generator=generator)
