"""SNGAN: Miyato et al., 1802.05957, with the residual networks of its CIFAR-10 experiments.

Spectral norm on every weight of the discriminator, by one power iteration a turn; hinge loss; five turns of the
discriminator for each of the generator's; Adam 2e-4 (0, 0.9). With labels: by projection (1802.05637).
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
from trainers.parts import Latent


class Config(GameConfig, Conditional):
    """SNGAN's parameters."""

    latent: Latent = Latent(dim=128)
    generator_channels: int = Field(default=256, ge=1, description="of every feature map")
    discriminator_channels: int = Field(default=128, ge=1, description="of every feature map")
    loss: LossName = Field(default="hinge", description="the adversarial loss")
    generator: Generator = Generator(betas=(0.0, 0.9))
    discriminator: Discriminator = Discriminator(betas=(0.0, 0.9), steps=5, norm="spectral")


class SNGAN(Game[Config]):
    summary = "spectrally normalised GAN, on residual networks"
    paper = "https://arxiv.org/abs/1802.05957"
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
