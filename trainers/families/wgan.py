"""WGAN: Arjovsky, Chintala and Bottou, 1701.07875.

DCGAN's networks; the critic's logit is no probability, its weights are cut to ±0.01 after every step, and it has five
steps for each of the generator's; RMSprop of 5e-5. As in the authors' code it has 100 steps for each of the first 25, and
for every 500th. It is weak by today's measure, and that is right. The difference of the mean logits is reported as
`wasserstein_estimate`. Departures: samples are drawn from averaged weights.
"""

from collections.abc import Callable
from typing import Any, ClassVar

from pydantic import Field

from trainers.gan.backbones import ConvConfig, ConvFamily
from trainers.gan.family import FamilyConfig
from trainers.gan.two_player import Discriminator, Generator, params
from trainers.objectives.losses import LossName


class Config(ConvConfig):
    """WGAN's parameters."""

    long_steps: int = Field(
        default=100, ge=1, description="of the critic in a training step in which it goes near its best"
    )
    long_at_first: int = Field(default=25, ge=0, description="so many training steps at the beginning are such")
    long_every: int = Field(default=500, ge=1, description="and every so-many-th")

    loss: LossName = Field(default="wasserstein", description="the adversarial loss")
    generator: Generator = Generator(optimizer="rmsprop", lr=5e-5, betas=(0.0, 0.99))
    discriminator: Discriminator = Discriminator(optimizer="rmsprop", lr=5e-5, betas=(0.0, 0.99), steps=5, clip=0.01)

    @property
    def critic_steps(self) -> Callable[[int], int]:
        """Return how many steps the critic has in a training step, by the step's number."""

        def steps(number: int) -> int:
            is_long = number < self.long_at_first or number % self.long_every == 0
            return self.long_steps if is_long else self.discriminator.steps

        return steps


class WGAN(ConvFamily[Config]):
    summary = "Wasserstein GAN with weight clipping: a loss that says how far apart the data are, and slow learning"
    paper = "https://arxiv.org/abs/1701.07875"
    Config: ClassVar[type[FamilyConfig]] = Config

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        critic = {"lr": 1e-3, "steps": 2, "clip": 0.05}
        return params(base_channels=8, generator={"lr": 1e-3}, discriminator=critic, long_steps=3, long_at_first=1)

    def discriminator_steps(self) -> Callable[[int], int]:
        return self.config.critic_steps
