"""Conditional GAN, in three ways: Mirza and Osindero, 1411.1784 (concat: the label beside the latents, and as maps
beside the picture); Odena, Olah and Shlens, 1610.09585 (auxiliary: the discriminator also names the class of what it
sees, real or fake); Miyato and Koyama, 1802.05637 (projection, with class-conditional batch norm in the generator).

On DCGAN's networks, with the hinge loss and spectral norm of the projection paper. It needs labels.
"""

from typing import Any, ClassVar

from pydantic import Field
from torch import nn

from trainers.family import FamilyConfig
from trainers.game import Conditional, Discriminator, Game, GameConfig, params
from trainers.layers.convolutional import ConvDiscriminator, ConvGenerator, init, sizes
from trainers.layers.verdict import Conditioning
from trainers.losses import LossName


class Config(GameConfig, Conditional):
    """The conditional GAN's parameters."""

    base_channels: int = Field(
        default=64, ge=1, description="channels beside the picture; they double with every halving"
    )
    loss: LossName = Field(default="hinge", description="the adversarial loss")
    discriminator: Discriminator = Discriminator(norm="spectral")
    conditioning: Conditioning = Field(
        default="projection",
        description="projection (1802.05637), auxiliary classifier (1610.09585), concat (1411.1784); none ignores labels",
    )


class CGAN(Game[Config]):
    summary = "conditional GAN on DCGAN's networks: by projection, auxiliary classifier or concatenation"
    paper = "https://arxiv.org/abs/1802.05637"
    resolutions = (16, 32, 64, 128)
    conditional = True
    needs_labels = True
    Config: ClassVar[type[FamilyConfig]] = Config

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        return params(base_channels=8, generator={"lr": 2e-3}, discriminator={"lr": 5e-4})

    def generator_network(self) -> nn.Module:
        config = self.config
        network = ConvGenerator(
            config.latent.dim,
            config.base_channels,
            self.shape,
            norm=config.generator.norm,
            attention=config.attention,
            classes=self.classes,
            conditioning=config.conditioning,
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
            classes=self.classes,
            conditioning=config.conditioning,
        )
        return network.apply(init)

    def feature_maps(self) -> tuple[int, ...]:
        return sizes(self.shape[1])
