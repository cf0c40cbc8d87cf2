"""DCGAN: Radford, Metz and Chintala, 1511.06434.

Strided and transposed convolutions of 4x4, no pooling and no dense stack; batch norm everywhere but at the generator's
output and the discriminator's input; ReLU and tanh in the generator, leaky ReLU of 0.2 in the discriminator; weights
N(0, 0.02). Labels are ignored.
"""

from typing import ClassVar

from trainers.gan.backbones import ConvConfig, ConvFamily
from trainers.gan.family import FamilyConfig


class Config(ConvConfig):
    """DCGAN's parameters."""


class DCGAN(ConvFamily[Config]):
    summary = "deep convolutional GAN: the plain, quick baseline for pictures of 16 to 128 pixels"
    paper = "https://arxiv.org/abs/1511.06434"
    Config: ClassVar[type[FamilyConfig]] = Config
