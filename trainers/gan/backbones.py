"""Families on the two stacks of networks for pictures that several share: DCGAN's, and residual ones."""

from typing import Any, TypeVar

from pydantic import Field
from torch import nn

from trainers.config import Latent
from trainers.gan.family import Shape
from trainers.gan.two_player import Conditional, TwoPlayer, TwoPlayerConfig, params
from trainers.layers import convolutional, residual
from trainers.layers.stack import Choices

G = TypeVar("G", bound=TwoPlayerConfig)
C = TypeVar("C", bound="ConvConfig")
R = TypeVar("R", bound="ResidualConfig")


class ConvConfig(TwoPlayerConfig):
    base_channels: int = Field(
        default=64, ge=1, description="channels beside the picture; they double with every halving"
    )


class ResidualConfig(TwoPlayerConfig, Conditional):
    latent: Latent = Latent(dim=128)
    generator_channels: int = Field(default=128, ge=1, description="of every feature map")
    discriminator_channels: int = Field(default=128, ge=1, description="of every feature map")
    pooling: residual.Pooling = Field(
        default="sum",
        description="of the discriminator's last feature map: sum over its pixels (SNGAN), or mean (WGAN-GP)",
    )


class _PictureFamily(TwoPlayer[G]):
    resolutions = (16, 32, 64, 128)

    @property
    def _generator_choices(self) -> Choices:
        return Choices(norm=self.config.generator.norm, **self._both())

    @property
    def _discriminator_choices(self) -> Choices:
        player = self.config.discriminator
        return Choices(norm=player.norm, minibatch=player.minibatch, **self._both())

    def _both(self) -> dict[str, Any]:
        return {
            "attention": self.config.attention,
            "classes": self.classes,
            "conditioning": self.conditioning,
            "start": self.config.growing and self.config.growing.start,
        }


class ConvFamily(_PictureFamily[C]):
    """On DCGAN's networks."""

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        # Up to ten times the paper's rates: some hundred steps must do. The generator's batch norm bears more.
        return params(base_channels=8, generator={"lr": 2e-3}, discriminator={"lr": 5e-4})

    def generator_network(self) -> nn.Module:
        config = self.config
        network = convolutional.ConvGenerator(
            config.latent.dim, config.base_channels, self.shape, self._generator_choices
        )
        return network.apply(convolutional.init)

    def discriminator_network(self, shape: Shape) -> nn.Module:
        network = convolutional.ConvDiscriminator(self.config.base_channels, shape, self._discriminator_choices)
        return network.apply(convolutional.init)

    def feature_maps(self) -> tuple[int, ...]:
        return convolutional.sizes(self.shape[1])

    def starts(self) -> tuple[int, ...]:
        return convolutional.picture_sizes(self.shape[1])[:-1]


class ResidualFamily(_PictureFamily[R]):
    """On the residual networks of WGAN-GP and SNGAN."""

    conditional = True

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        # Twenty times the papers' rates, and one turn each: some hundred steps must do.
        rates: dict[str, Any] = {"generator": {"lr": 4e-3}, "discriminator": {"lr": 4e-3, "steps": 1}}
        return params(generator_channels=8, discriminator_channels=8, **rates)

    def generator_network(self) -> nn.Module:
        config = self.config
        network = residual.ResidualGenerator(
            config.latent.dim, config.generator_channels, self.shape, self._generator_choices
        )
        return network.apply(residual.init)

    def discriminator_network(self, shape: Shape) -> nn.Module:
        channels = self.config.discriminator_channels
        network = residual.ResidualDiscriminator(channels, shape, self._discriminator_choices, self.config.pooling)
        return network.apply(residual.init)

    def feature_maps(self) -> tuple[int, ...]:
        return residual.sizes(self.shape[1])[:-1]

    def starts(self) -> tuple[int, ...]:
        return residual.sizes(self.shape[1])[:-1]
