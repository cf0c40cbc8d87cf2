"""WGAN: Arjovsky, Chintala and Bottou, 1701.07875.

DCGAN's networks; the critic's logit is no probability, its weights are cut to ±0.01 after every turn, and it has five
turns for each of the generator's; RMSprop of 5e-5. It is weak by today's measure, and that is right. The difference of
the mean logits is reported as `wasserstein_estimate`.
"""

from typing import Any, ClassVar

from pydantic import Field

from trainers.gan.backbones import ConvConfig, ConvFamily
from trainers.gan.family import FamilyConfig
from trainers.gan.two_player import Discriminator, Generator, params
from trainers.objectives.losses import LossName


class Config(ConvConfig):
    """WGAN's parameters."""

    loss: LossName = Field(default="wasserstein", description="the adversarial loss")
    generator: Generator = Generator(optimizer="rmsprop", lr=5e-5, betas=(0.0, 0.99))
    discriminator: Discriminator = Discriminator(optimizer="rmsprop", lr=5e-5, betas=(0.0, 0.99), steps=5, clip=0.01)


class WGAN(ConvFamily[Config]):
    summary = "Wasserstein GAN with weight clipping: a loss that says how far apart the data are, and slow learning"
    paper = "https://arxiv.org/abs/1701.07875"
    Config: ClassVar[type[FamilyConfig]] = Config

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        critic = {"lr": 1e-3, "steps": 2, "clip": 0.05}
        return params(base_channels=8, generator={"lr": 1e-3}, discriminator=critic)
