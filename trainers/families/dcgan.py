"""DCGAN: Radford, Metz and Chintala, 1511.06434.

Strided and transposed convolutions of 4x4, no pooling and no dense stack; batch norm everywhere but at the generator's
output and the discriminator's input; ReLU and tanh in the generator, leaky ReLU of 0.2 in the discriminator; weights
N(0, 0.02). Labels are ignored.
"""

from typing import Any, ClassVar

from pydantic import Field
from torch import nn

from trainers.family import FamilyConfig
from trainers.game import Game, GameConfig, params
from trainers.layers.convolutional import ConvDiscriminator, ConvGenerator, init, sizes


class Config(GameConfig):
    """DCGAN's parameters."""

    base_channels: int = Field(
        default=64, ge=1, description="channels beside the picture; they double with every halving"
    )


class DCGAN(Game[Config]):
    summary = "deep convolutional GAN: the plain, quick baseline for pictures of 16 to 128 pixels"
    paper = "https://arxiv.org/abs/1511.06434"
    resolutions = (16, 32, 64, 128)
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
