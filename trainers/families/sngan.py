"""SNGAN: Miyato et al., 1802.05957, with the residual networks of its CIFAR-10 experiments.

Spectral norm on every weight of the discriminator, by one power iteration a step; hinge loss; five steps of the
discriminator for each of the generator's, whose batch is twice as large; Adam 2e-4 (0, 0.9), linearly to 0 over the
training, which is 50,000 generator steps in the authors' code. All weights begin as Glorot's; the discriminator sums over
its last feature map. With labels: by projection (1802.05637). Departures: samples are drawn from averaged weights.
"""

from typing import ClassVar

from pydantic import Field

from trainers.gan.backbones import ResidualConfig, ResidualFamily
from trainers.gan.family import FamilyConfig
from trainers.gan.two_player import Discriminator, Generator
from trainers.objectives.losses import LossName


class Config(ResidualConfig):
    """SNGAN's parameters."""

    generator_channels: int = Field(default=256, ge=1, description="of every feature map")
    loss: LossName = Field(default="hinge", description="the adversarial loss")
    generator: Generator = Generator(betas=(0.0, 0.9), schedule="linear", batch_multiple=2)
    discriminator: Discriminator = Discriminator(betas=(0.0, 0.9), schedule="linear", steps=5, norm="spectral")


class SNGAN(ResidualFamily[Config]):
    summary = "spectrally normalised GAN, on residual networks"
    paper = "https://arxiv.org/abs/1802.05957"
    Config: ClassVar[type[FamilyConfig]] = Config
