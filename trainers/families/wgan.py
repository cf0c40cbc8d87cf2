"""WGAN: Arjovsky, Chintala and Bottou, 1701.07875.

DCGAN's networks; the critic's logit is no probability, its weights are cut to ±0.01 after every turn, and it has five
turns for each of the generator's; RMSprop of 5e-5. It is weak by today's measure, and that is right. The difference of
the mean logits is reported as `wasserstein_estimate`.
"""

from typing import Any, ClassVar

from pydantic import Field
from torch import nn

from trainers.family import FamilyConfig
from trainers.game import Discriminator, Game, GameConfig, Generator, params
from trainers.layers.convolutional import ConvDiscriminator, ConvGenerator, init, sizes
from trainers.losses import LossName


class Config(GameConfig):
    """WGAN's parameters."""

    base_channels: int = Field(
        default=64, ge=1, description="channels beside the picture; they double with every halving"
    )
    loss: LossName = Field(default="wasserstein", description="the adversarial loss")
    generator: Generator = Generator(optimizer="rmsprop", lr=5e-5, betas=(0.0, 0.99))
    discriminator: Discriminator = Discriminator(optimizer="rmsprop", lr=5e-5, betas=(0.0, 0.99), steps=5, clip=0.01)


class WGAN(Game[Config]):
    summary = "Wasserstein GAN with weight clipping: a loss that says how far apart the data are, and slow learning"
    paper = "https://arxiv.org/abs/1701.07875"
    resolutions = (16, 32, 64, 128)
    Config: ClassVar[type[FamilyConfig]] = Config

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        critic = {"lr": 1e-3, "steps": 2, "clip": 0.05}
        return params(base_channels=8, generator={"lr": 1e-3}, discriminator=critic)

    def generator_network(self) -> nn.Module:
        config = self.config
        network = ConvGenerator(
            config.latent.dim, config.base_channels, self.shape, norm=config.generator.norm, attention=config.attention
        )
        return network.apply(init)

    def discriminator_network(self) -> nn.Module:
        config = self.config
        network = ConvDiscriminator(
            config.base_channels,
            self.shape,
            norm=config.discriminator.norm,
            attention=config.attention,
            minibatch=config.discriminator.minibatch,
        )
        return network.apply(init)

    def feature_maps(self) -> tuple[int, ...]:
        return sizes(self.shape[1])
