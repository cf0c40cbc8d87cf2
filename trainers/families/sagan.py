"""SAGAN: Zhang et al., 1805.08318.

Residual networks whose channels double with every halving, one self-attention in each (its gain from 0), spectral norm in
both; class-conditional batch norm in the generator, whose embeddings are not normalised, and projection in the
discriminator where there are labels; hinge loss; two time scales, Adam 1e-4 and 4e-4 (0, 0.9). At 128 pixels with 64 base
channels these are the widths of the authors' code: 1024, 1024, 512, 256, 128, 64 in the generator, attention at 32 pixels.

Departures: queries and keys of an eighth and values of half the channels over pooled keys and values, as in the authors' code
and not in the paper's equation; samples are drawn from averaged weights.
"""

from itertools import pairwise
from math import log2
from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor, nn

from trainers.config import Latent
from trainers.gan.family import FamilyConfig, Shape
from trainers.gan.two_player import Conditional, Discriminator, Generator, TwoPlayer, TwoPlayerConfig, params
from trainers.layers.attention import SelfAttention
from trainers.layers.head import Conditioning, DiscriminatorOutput
from trainers.layers.minibatch import MinibatchStddev
from trainers.layers.norms import with_spectral_norm
from trainers.layers.residual import DownBlock, UpBlock, init
from trainers.layers.stack import Choices, LabelMaps, Stack, head
from trainers.objectives.losses import LossName

BOTTOM, WIDEST = 4, 16  # pixels of the smallest feature maps; multiple of the base channels that no width exceeds
BETAS = (0.0, 0.9)


class Config(TwoPlayerConfig, Conditional):
    """SAGAN's parameters."""

    latent: Latent = Latent(dim=128)
    base_channels: int = Field(
        default=64, ge=1, description="beside the picture; they double with every halving, to 16-fold"
    )
    attention: int | None = Field(
        default=None,
        ge=1,
        description="pixels of the feature maps that get self-attention; null: 32, or half the picture's where that is less",
    )
    loss: LossName = Field(default="hinge", description="the adversarial loss")
    conditioning: Conditioning = Field(
        default="none",
        description="projection (with class-conditional batch norm), auxiliary, concat; none ignores labels",
    )
    generator: Generator = Generator(lr=1e-4, betas=BETAS)
    discriminator: Discriminator = Discriminator(lr=4e-4, betas=BETAS, norm="spectral")


class SAGAN(TwoPlayer[Config]):
    summary = "self-attention over distant places, spectral norm in both networks, two time scales"
    paper = "https://arxiv.org/abs/1805.08318"
    resolutions = (16, 32, 64, 128)
    conditional = True
    Config: ClassVar[type[FamilyConfig]] = Config

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        return params(base_channels=4, generator={"lr": 2e-3}, discriminator={"lr": 4e-3})

    def generator_network(self) -> nn.Module:
        config = self.config
        network = _Generator(config.latent.dim, config.base_channels, self.shape, self._choices(config.generator))
        network.apply(init)
        # `generator.norm: spectral` is put on by TwoPlayer, in place of batch norm.
        return network if config.generator.norm == "spectral" else with_spectral_norm(network, embeddings=False)

    def discriminator_network(self, shape: Shape) -> nn.Module:
        player = self.config.discriminator
        return _Discriminator(self.config.base_channels, shape, self._choices(player, player.minibatch)).apply(init)

    def feature_maps(self) -> tuple[int, ...]:
        return _sizes(self.shape[1])[1:-1]

    def _choices(self, player: Generator | Discriminator, minibatch: Any = "none") -> Choices:
        return Choices(
            norm=player.norm,
            minibatch=minibatch,
            attention=self.config.attention or min(32, self.shape[1] // 2),
            classes=self.classes,
            conditioning=self.conditioning,
        )


class _Generator(nn.Module):
    """latents [n, dim], labels -> [n, *shape] in -1..1"""

    def __init__(self, latent: int, base: int, shape: Shape, choices: Choices) -> None:
        super().__init__()
        sizes = _sizes(shape[1])
        widths = {size: base * min(WIDEST, shape[1] // size) for size in sizes}
        joined = choices.labels_beside_latents
        self.join = choices.join_labels()
        self.begin = nn.Linear(latent + joined, widths[BOTTOM] * BOTTOM**2)
        layers: list[nn.Module] = []
        for before, size in pairwise(sizes):
            layers.append(UpBlock(widths[before], widths[size], choices))
            layers += [SelfAttention(widths[size])] if size == choices.attention else []
        last = widths[shape[1]]
        self.layers = Stack(*layers, choices.plain_norm(last), nn.ReLU(), nn.Conv2d(last, shape[0], 3, 1, 1), nn.Tanh())

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        begun = self.begin(latents if self.join is None else self.join(latents, labels))
        return self.layers(begun.unflatten(1, (-1, BOTTOM, BOTTOM)), labels)


class _Discriminator(nn.Module):
    """samples [n, *shape], labels -> DiscriminatorOutput"""

    def __init__(self, base: int, shape: Shape, choices: Choices) -> None:
        super().__init__()
        maps = choices.label_maps
        layers: list[nn.Module] = [LabelMaps(maps)] if maps else []
        before, first = shape[0] + maps, True
        for size in _sizes(shape[1])[-2::-1]:
            width = base * min(WIDEST, shape[1] // 2 // size)
            layers.append(DownBlock(before, width, choices.norm, halve=True, first=first))
            layers += [SelfAttention(width)] if size == choices.attention else []
            before, first = width, False
        extra = [MinibatchStddev()] if choices.minibatch == "stddev" else []
        self.body = Stack(*layers, DownBlock(before, before, choices.norm, halve=False), nn.ReLU(), *extra)
        self.head = head(before + len(extra), choices)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> DiscriminatorOutput:
        return self.head(self.body(samples, labels).sum((2, 3)), labels)


def _sizes(resolution: int) -> tuple[int, ...]:
    return tuple(2**level for level in range(int(log2(BOTTOM)), int(log2(resolution)) + 1))
