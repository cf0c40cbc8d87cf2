"""SNGAN: Miyato et al., 1802.05957, with the residual networks of its CIFAR-10 experiments.

Spectral norm on every weight of the discriminator, by one power iteration a turn; hinge loss; five turns of the
discriminator for each of the generator's; Adam 2e-4 (0, 0.9). With labels: by projection (1802.05637).
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
    generator: Generator = Generator(betas=(0.0, 0.9))
    discriminator: Discriminator = Discriminator(betas=(0.0, 0.9), steps=5, norm="spectral")


class SNGAN(ResidualFamily[Config]):
    summary = "spectrally normalised GAN, on residual networks"
    paper = "https://arxiv.org/abs/1802.05957"
    Config: ClassVar[type[FamilyConfig]] = Config
