"""R3GAN: Huang et al., 2501.05441.

Relativistic pairs with a penalty on the slope at reals and at fakes (R1 and R2, each γ/2) in every step. Networks of
grouped inverted bottlenecks without any norm, whose last convolutions begin at 0 and whose others begin smaller the
deeper the network (Fixup, 1901.09321); resampling with [1, 2, 1]. Cosines over the training: learning rate 2e-4 to
5e-5, Adam's second beta 0.9 to 0.99, γ 0.05 to 0.005, half-life of the average 0 to 5 million pictures over 20 million: here
a quarter of those so far at most, which is the same at its end and follows shorter trainings too. The convolutions from and
to a picture have no bias and a gain of 1, and the last stage of the discriminator and its head run in float32 under autocast.
Its augmentation is not in the defaults: see `augment.ada`.
"""

from math import log2
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from trainers.config import Ema, Latent
from trainers.gan.family import FamilyConfig, Shape
from trainers.gan.two_player import (
    Conditional,
    Discriminator,
    Generator,
    TwoPlayer,
    TwoPlayerConfig,
    params,
    refuse_norms,
)
from trainers.layers.filters import Doubled, Halved, doubled, halved
from trainers.layers.head import Conditioning, DiscriminatorOutput, Head
from trainers.layers.minibatch import MinibatchStddev
from trainers.layers.modes import InFullPrecision
from trainers.layers.stack import JoinedLabels, LabelMaps, attention_at
from trainers.layers.stages import falling, rising
from trainers.objectives.losses import LossName
from trainers.objectives.penalties import Penalties
from trainers.objectives.penalties.r1 import R1
from trainers.objectives.penalties.r2 import R2

BOTTOM = 4  # pixels of the smallest feature maps
COSINES: dict[str, Any] = {
    "lr": 2e-4,
    "schedule": "cosine",
    "final_lr": 5e-5,
    "betas": (0.0, 0.9),
    "final_betas": (0.0, 0.99),
    "norm": "none",
}


class Config(TwoPlayerConfig, Conditional):
    """R3GAN's parameters."""

    latent: Latent = Latent(dim=64)
    channels: int = Field(default=768, ge=2, description="of every feature map")
    blocks: int = Field(default=2, ge=1, description="residual blocks per resolution")
    group_channels: int = Field(default=16, ge=1, description="channels of a group of the 3x3 convolutions")
    expansion: int = Field(default=2, ge=1, description="of channels inside a block")
    loss: LossName = Field(default="relativistic", description="the adversarial loss")
    ema: Ema = Ema(half_life=5e6, initial=0, ramp=0.25)
    penalties: Penalties = Penalties(r1=R1(weight=0.05, final_weight=0.005), r2=R2(weight=0.05, final_weight=0.005))
    generator: Generator = Generator(**COSINES)
    discriminator: Discriminator = Discriminator(**COSINES)

    @model_validator(mode="after")
    def _without_norms(self) -> "Config":
        refuse_norms(
            self,
            "R3GAN's networks have none: they begin at unit scale, with weights of 0 that spectral norm cannot scale",
        )
        return self


class R3GAN(TwoPlayer[Config]):
    summary = "relativistic pairs, R1 and R2, modern residual networks without norms: stable without tricks"
    paper = "https://arxiv.org/abs/2501.05441"
    resolutions = (16, 32, 64, 128)
    conditional = True
    least_pixels = BOTTOM
    Config: ClassVar[type[FamilyConfig]] = Config

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        small = {"channels": 8, "blocks": 1, "group_channels": 16}
        weights = {"r1": {"weight": 1.0}, "r2": {"weight": 1.0}}
        return params(**small, penalties=weights, generator={"lr": 4e-3}, discriminator={"lr": 4e-3})

    def generator_network(self) -> nn.Module:
        return _Generator(self.config, self.shape, self.classes)

    def discriminator_network(self, shape: Shape) -> nn.Module:
        return _Discriminator(self.config, shape, self.classes, self.conditioning)

    def feature_maps(self) -> tuple[int, ...]:
        return _sizes(self.shape[1])

    def starts(self) -> tuple[int, ...]:
        return _sizes(self.shape[1])[:-1]


def _sizes(resolution: int) -> tuple[int, ...]:
    return tuple(2**level for level in range(2, int(log2(resolution)) + 1))


class _Block(nn.Module):
    """1x1 to more channels, grouped 3x3, 1x1 back; plus the input."""

    def __init__(self, config: Config, depth: int) -> None:
        super().__init__()
        inner = config.channels * config.expansion
        groups = max(1, inner // config.group_channels)
        self.widen = _convolution(config.channels, inner, 1, depth)
        self.mix = _convolution(inner, inner, 3, depth, groups)
        self.narrow = nn.Conv2d(inner, config.channels, 1, bias=False)
        nn.init.zeros_(self.narrow.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.narrow(F.leaky_relu(self.mix(F.leaky_relu(self.widen(x), 0.2)), 0.2))


def _convolution(before: int, width: int, size: int, depth: int, groups: int = 1) -> nn.Conv2d:
    """Apply Fixup for blocks of three weights: each of the first two begins smaller by depth^(-1/4)."""
    layer = nn.Conv2d(before, width, size, padding=size // 2, groups=groups)
    nn.init.kaiming_normal_(layer.weight, 0.2)
    with torch.no_grad():
        layer.weight.mul_(depth**-0.25)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


class _Generator(nn.Module):
    """latents [n, dim], labels -> [n, *shape]"""

    def __init__(self, config: Config, shape: Shape, classes: int | None) -> None:
        super().__init__()
        sizes = _sizes(shape[1])
        self.join = JoinedLabels(classes) if classes else None
        self.basis = nn.Parameter(torch.randn(config.channels, BOTTOM, BOTTOM))
        self.mix = nn.Linear(config.latent.dim + (classes or 0), config.channels, bias=False)
        nn.init.kaiming_normal_(self.mix.weight, 1)
        self.growing = _growing_generator(config, config.growing.start, shape) if config.growing else None
        if self.growing is None:
            self.stages = nn.ModuleList(_stage(config, size, len(sizes)) for size in sizes)
            self.picture = _picture(config.channels, shape[0])

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        joined = latents if self.join is None else self.join(latents, labels)
        x = self.basis * self.mix(joined)[:, :, None, None]
        if self.growing is not None:
            return self.growing(x)
        for number, stage in enumerate(self.stages):
            x = stage(doubled(x) if number else x)
        return self.picture(x)


def _growing_generator(config: Config, start: int, shape: Shape) -> nn.Module:
    sizes = _sizes(shape[1])

    def level(size: int) -> list[nn.Module]:
        stage = _stage(config, size, len(sizes))
        return [stage] if size == BOTTOM else [Doubled(), stage]

    return rising(sizes, start, level, lambda _: [_picture(config.channels, shape[0])])


class _Discriminator(nn.Module):
    """samples [n, *shape], labels -> DiscriminatorOutput"""

    def __init__(self, config: Config, shape: Shape, classes: int | None, conditioning: Conditioning) -> None:
        super().__init__()
        sizes = _sizes(shape[1])
        self.maps = LabelMaps(classes) if classes and conditioning == "concat" else None
        before = shape[0] + (classes or 0 if self.maps else 0)
        start = config.growing.start if config.growing else None
        self.growing = _growing_discriminator(config, start, sizes, self.maps, before) if start else None
        if self.growing is None:
            self.picture = _picture(before, config.channels)
            stages = [_stage(config, size, len(sizes)) for size in sizes[::-1]]
            self.stages = nn.ModuleList([*stages[:-1], InFullPrecision(*stages[-1])])
        minibatch = config.discriminator.minibatch
        self.spread = MinibatchStddev() if minibatch == "stddev" else None
        features = config.channels + (1 if self.spread else 0)
        # One 4x4 filter a channel: what is left is a number a channel.
        gather = nn.Conv2d(features, features, BOTTOM, groups=features, bias=False)
        nn.init.kaiming_normal_(gather.weight, 1)
        self.gather = InFullPrecision(gather)
        self.head = Head(features, classes, conditioning, minibatch=minibatch, bias=False)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> DiscriminatorOutput:
        x = self._features(samples, labels)
        x = x if self.spread is None else self.spread(x)
        return self.head(self.gather(x).flatten(1), labels)

    def _features(self, samples: Tensor, labels: Tensor | None) -> Tensor:
        if self.growing is not None:
            return self.growing(samples, labels)
        x = self.picture(samples if self.maps is None else self.maps(samples, labels))
        for number, stage in enumerate(self.stages):
            x = stage(halved(x) if number else x)
        return x


def _growing_discriminator(
    config: Config, start: int, sizes: tuple[int, ...], maps: LabelMaps | None, before: int
) -> nn.Module:
    def picture(size: int) -> list[nn.Module]:
        return [*([maps] if maps else []), _picture(before, config.channels)]

    def level(size: int) -> list[nn.Module]:
        return [_stage(config, size, len(sizes)), Halved()]

    return falling(sizes, start, picture, level, lambda: [InFullPrecision(*_stage(config, BOTTOM, len(sizes)))])


def _picture(before: int, width: int) -> nn.Conv2d:
    """Return a convolution to a picture, or from it: of gain 1, without a bias."""
    layer = nn.Conv2d(before, width, 1, bias=False)
    nn.init.kaiming_normal_(layer.weight, 1)
    return layer


def _stage(config: Config, size: int, stages: int) -> nn.Sequential:
    depth = config.blocks * stages
    blocks = [_Block(config, depth) for _ in range(config.blocks)]
    return nn.Sequential(*blocks, *attention_at(size, config.attention, config.channels))
