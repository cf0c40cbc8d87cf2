"""Conditional GAN, in three ways: Mirza and Osindero, 1411.1784 (concat: the label beside the latents, and as maps
beside the picture); Odena, Olah and Shlens, 1610.09585 (auxiliary: the discriminator also names the class of what it
sees, real or fake); Miyato and Koyama, 1802.05637 (projection, with class-conditional batch norm in the generator).

On DCGAN's networks, with the hinge loss and spectral norm of the projection paper. It needs labels.
"""

from typing import ClassVar

from pydantic import Field

from trainers.gan.backbones import ConvConfig, ConvFamily
from trainers.gan.family import FamilyConfig
from trainers.gan.two_player import Conditional, Discriminator
from trainers.layers.head import Conditioning
from trainers.objectives.losses import LossName


class Config(ConvConfig, Conditional):
    """The conditional GAN's parameters."""

    loss: LossName = Field(default="hinge", description="the adversarial loss")
    discriminator: Discriminator = Discriminator(norm="spectral")
    conditioning: Conditioning = Field(
        default="projection",
        description="projection (1802.05637), auxiliary classifier (1610.09585), concat (1411.1784); none ignores labels",
    )


class CGAN(ConvFamily[Config]):
    summary = "conditional GAN on DCGAN's networks: by projection, auxiliary classifier or concatenation"
    paper = "https://arxiv.org/abs/1802.05637"
    conditional = True
    needs_labels = True
    Config: ClassVar[type[FamilyConfig]] = Config
