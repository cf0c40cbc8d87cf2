"""The residual networks of WGAN-GP and SNGAN (1704.00028, appendix C; 1802.05957, appendix B)."""

from math import log2, sqrt
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.layers.head import DiscriminatorOutput
from trainers.layers.minibatch import MinibatchStddev
from trainers.layers.norms import ConditionalNorm, NormName, norm_layer
from trainers.layers.stack import Choices, JoinedLabels, Labelled, LabelMaps, attention_at, head
from trainers.layers.stages import falling, rising

Shape = tuple[int, int, int]
Pooling = Literal["sum", "mean"]
BOTTOM = 4  # pixels where the generator begins
TOP = 8  # pixels of the discriminator's last blocks
# Norms with a mean per channel take every bias away again; its gradient would be rounding, which Adam scales up.
WITH_MEAN = ("batch", "instance")


def sizes(resolution: int) -> tuple[int, ...]:
    """Return the pixels of what the generator's blocks make, and of the pictures that they lead to."""
    return tuple(2**level for level in range(3, int(log2(resolution)) + 1))


class UpBlock(Labelled):
    """norm, ReLU, twice the pixels, convolution; again without; plus the input."""

    def __init__(self, before: int, width: int, choices: Choices) -> None:
        super().__init__()
        self.norms = nn.ModuleList([choices.norm_in_generator(channels) for channels in (before, width)])
        bias = choices.norm not in WITH_MEAN
        self.first, self.second = (nn.Conv2d(n, width, 3, 1, 1, bias=bias) for n in (before, width))
        self.shortcut = nn.Conv2d(before, width, 1, bias=bias)

    def forward(self, x: Tensor, labels: Tensor | None) -> Tensor:
        y = self.first(_double(F.relu(_normed(self.norms[0], x, labels))))
        y = self.second(F.relu(_normed(self.norms[1], y, labels)))
        return y + _double(self.shortcut(x))


class DownBlock(nn.Module):
    """ReLU, convolution, ReLU, convolution, half the pixels; plus the input."""

    def __init__(self, before: int, width: int, norm: NormName, *, halve: bool, first: bool = False) -> None:
        super().__init__()
        self.halve, self.is_first = halve, first
        self.norms = nn.ModuleList([norm_layer("none" if first else norm, channels) for channels in (before, width)])
        self.first = nn.Conv2d(before, width, 3, 1, 1, bias=norm not in WITH_MEAN)
        self.second = nn.Conv2d(width, width, 3, 1, 1)
        self.shortcut = nn.Conv2d(before, width, 1) if halve or before != width else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        # A ReLU on the picture itself would throw half of it away.
        y = self.first(x if self.is_first else F.relu(self.norms[0](x)))
        y = self.second(F.relu(self.norms[1](y)))
        return self._halved(y) + self.shortcut(self._halved(x))

    def _halved(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2) if self.halve else x


class ResidualGenerator(nn.Module):
    """latents [n, dim], labels -> [n, *shape] in -1..1"""

    def __init__(self, latent: int, base: int, shape: Shape, choices: Choices) -> None:
        super().__init__()
        joined = choices.labels_beside_latents
        self.join = JoinedLabels(joined) if joined else None
        self.begin = nn.Linear(latent + joined, base * BOTTOM**2)

        def level(size: int) -> list[nn.Module]:
            return [UpBlock(base, base, choices), *attention_at(size, choices.attention, base)]

        def picture(size: int) -> list[nn.Module]:
            return [norm_layer(choices.norm, base), nn.ReLU(), nn.Conv2d(base, shape[0], 3, 1, 1), nn.Tanh()]

        self.layers = rising(sizes(shape[1]), choices.start, level, picture)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        begun = self.begin(latents if self.join is None else self.join(latents, labels))
        return self.layers(begun.unflatten(1, (-1, BOTTOM, BOTTOM)), labels)


class ResidualDiscriminator(nn.Module):
    """samples [n, *shape], labels -> DiscriminatorOutput"""

    def __init__(self, base: int, shape: Shape, choices: Choices, pooling: Pooling = "sum") -> None:
        """Take `pooling`: what is made of the last feature map's pixels."""
        super().__init__()
        self.pooling = pooling
        maps = choices.label_maps
        grows = choices.start is not None
        extra = [MinibatchStddev()] if choices.minibatch == "stddev" else []

        def block(size: int, halve: bool) -> list[nn.Module]:
            if size == shape[1] and not grows:  # no block has seen the picture yet
                return [DownBlock(shape[0] + maps, base, choices.norm, halve=halve, first=True)]
            return [*attention_at(size, choices.attention, base), DownBlock(base, base, choices.norm, halve=halve)]

        def picture(size: int) -> list[nn.Module]:
            # A stage that is left must leave little behind: a convolution of 1x1 where the papers have a block.
            features = [nn.Conv2d(shape[0] + maps, base, 1)] if grows else []
            return [*([LabelMaps(maps)] if maps else []), *features]

        def end() -> list[nn.Module]:
            last = DownBlock(base, base, choices.norm, halve=False)
            return [*block(TOP, halve=False), last, nn.ReLU(), *extra]

        self.body = falling(sizes(shape[1]), choices.start, picture, lambda size: block(size, halve=True), end)
        self.head = head(base + len(extra), choices)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> DiscriminatorOutput:
        features = self.body(samples, labels)
        return self.head(features.sum((2, 3)) if self.pooling == "sum" else features.mean((2, 3)), labels)


@torch.no_grad()
def init(module: nn.Module) -> None:
    """Draw Glorot's weights, with a gain of √2 for the convolutions of a block, as in both papers' codes.

    For nn.Module.apply, which comes to a block after its convolutions.
    """
    if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
        nn.init.xavier_uniform_(module.weight)
    if isinstance(module, UpBlock | DownBlock):
        for convolution in (module.first, module.second):
            nn.init.xavier_uniform_(convolution.weight, sqrt(2))
    if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
        module.bias.zero_()
    if isinstance(module, ConditionalNorm):
        nn.init.ones_(module.gain.weight)
        nn.init.zeros_(module.shift.weight)


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


def _normed(norm: nn.Module, x: Tensor, labels: Tensor | None) -> Tensor:
    return norm(x, labels) if isinstance(norm, ConditionalNorm) else norm(x)
