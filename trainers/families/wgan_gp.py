"""WGAN-GP: Gulrajani et al., 1704.00028, with the residual networks and rates of its CIFAR-10 experiments.

The two-sided penalty on the slope at uniform mixes of real and fake takes the place of clipping; no batch norm in the
critic, whose five turns go before each of the generator's; Adam 2e-4 (0, 0.9), linearly to 0.
"""

from typing import Any, ClassVar

from pydantic import Field
from torch import nn

from trainers.family import FamilyConfig
from trainers.game import Conditional, Discriminator, Game, GameConfig, Generator, params
from trainers.layers.residual import (
    ResidualDiscriminator,
    ResidualGenerator,
    discriminator_sizes,
    generator_sizes,
    init,
)
from trainers.losses import LossName
from trainers.parts import GradientPenalty, Latent, Penalties


class Config(GameConfig, Conditional):
    """WganGP's parameters."""

    latent: Latent = Latent(dim=128)
    generator_channels: int = Field(default=128, ge=1, description="of every feature map")
    discriminator_channels: int = Field(default=128, ge=1, description="of every feature map")
    loss: LossName = Field(default="wasserstein", description="the adversarial loss")
    penalties: Penalties = Penalties(gradient_penalty=GradientPenalty())
    generator: Generator = Generator(betas=(0.0, 0.9), schedule="linear")
    discriminator: Discriminator = Discriminator(betas=(0.0, 0.9), schedule="linear", steps=5, norm="none")


class WganGP(Game[Config]):
    summary = "Wasserstein GAN with gradient penalty, on residual networks"
    paper = "https://arxiv.org/abs/1704.00028"
    resolutions = (16, 32, 64, 128)
    conditional = True
    Config: ClassVar[type[FamilyConfig]] = Config

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        rates: dict[str, Any] = {"generator": {"lr": 4e-3}, "discriminator": {"lr": 4e-3, "steps": 1}}
        return params(generator_channels=8, discriminator_channels=8, **rates)

    def generator_network(self) -> nn.Module:
        config = self.config
        network = ResidualGenerator(
            config.latent.dim,
            config.generator_channels,
            self.shape,
            norm=config.generator.norm,
            attention=config.attention,
            classes=self.classes,
            conditioning=config.conditioning,
        )
        return network.apply(init)

    def discriminator_network(self) -> nn.Module:
        config = self.config
        network = ResidualDiscriminator(
            config.discriminator_channels,
            self.shape,
            norm=config.discriminator.norm,
            attention=config.attention,
            minibatch=config.discriminator.minibatch,
            classes=self.classes,
            conditioning=config.conditioning,
        )
        return network.apply(init)

    def feature_maps(self) -> tuple[int, ...]:
        return tuple(sorted({*generator_sizes(self.shape[1])} & {*discriminator_sizes(self.shape[1])}))
