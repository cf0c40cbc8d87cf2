"""WGAN-GP: Gulrajani et al., 1704.00028, with the residual networks and rates of its CIFAR-10 experiments.

The two-sided penalty on the slope at uniform mixes of real and fake takes the place of clipping; no batch norm in the
critic, whose five steps go before each of the generator's; Adam 2e-4 (0, 0.9), linearly to 0. As in the authors' code the
critic takes the mean over its last feature map, all weights begin as Glorot's, and the generator's batch is twice the
critic's. Departures: samples are drawn from averaged weights.
"""

from typing import ClassVar

from pydantic import Field

from trainers.gan.backbones import ResidualConfig, ResidualFamily
from trainers.gan.family import FamilyConfig
from trainers.gan.two_player import Discriminator, Generator
from trainers.layers.residual import Pooling
from trainers.objectives.losses import LossName
from trainers.objectives.penalties import Penalties
from trainers.objectives.penalties.gradient_penalty import GradientPenalty


class Config(ResidualConfig):
    """WganGP's parameters."""

    loss: LossName = Field(default="wasserstein", description="the adversarial loss")
    penalties: Penalties = Penalties(gradient_penalty=GradientPenalty())
    pooling: Pooling = Field(
        default="mean", description="of the critic's last feature map: mean over its pixels, or sum"
    )
    generator: Generator = Generator(betas=(0.0, 0.9), schedule="linear", batch_multiple=2)
    discriminator: Discriminator = Discriminator(betas=(0.0, 0.9), schedule="linear", steps=5, norm="none")


class WganGP(ResidualFamily[Config]):
    summary = "Wasserstein GAN with gradient penalty, on residual networks"
    paper = "https://arxiv.org/abs/1704.00028"
    Config: ClassVar[type[FamilyConfig]] = Config
