"""The DCGAN stack (1511.06434): strided and transposed convolutions of 4x4, which double or halve the channels."""

from itertools import pairwise
from math import log2

import torch
from torch import Tensor, nn

from trainers.layers.batch_norm import GroupBatchNorm2d
from trainers.layers.minibatch import MinibatchDiscrimination, MinibatchStddev
from trainers.layers.norms import NormName, norm_layer
from trainers.layers.stack import (
    JoinedLabels,
    LabelMaps,
    Stack,
    attention_at,
    labels_beside_latents,
    norm_in_generator,
)
from trainers.layers.verdict import Conditioning, Head, Verdict

Shape = tuple[int, int, int]


def widths(base: int, resolution: int) -> list[int]:
    """Channels at half the resolution, a quarter, … down to 4x4: base, 2 base, …"""
    return [base * 2**level for level in range(int(log2(resolution)) - 2)]


def sizes(resolution: int) -> tuple[int, ...]:
    """Pixels of the feature maps between 4x4 and the picture."""
    return tuple(2**level for level in range(2, int(log2(resolution))))


class ConvGenerator(nn.Module):
    """latents [n, dim], labels -> [n, *shape] in -1..1"""

    def __init__(
        self,
        latent: int,
        base: int,
        shape: Shape,
        *,
        norm: NormName = "batch",
        attention: int | None = None,
        classes: int | None = None,
        conditioning: Conditioning = "none",
    ) -> None:
        super().__init__()
        joined = labels_beside_latents(classes, conditioning, norm)
        self.join = JoinedLabels(joined) if joined else None
        channels = widths(base, shape[1])[::-1]
        plain = norm in ("none", "spectral", "pixel")  # norms with a shift of their own make a bias idle
        layers: list[nn.Module] = [nn.ConvTranspose2d(latent + joined, channels[0], 4, 1, 0, bias=plain)]
        for size, (width, following) in zip(sizes(shape[1]), pairwise([*channels, shape[0]]), strict=True):
            layers += [norm_in_generator(norm, width, classes, conditioning), nn.ReLU(inplace=True)]
            layers += attention_at(size, attention, width)
            last = size * 2 == shape[1]
            layers.append(nn.ConvTranspose2d(width, following, 4, 2, 1, bias=plain and not last))
        self.layers = Stack(*layers, nn.Tanh())

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        joined = latents if self.join is None else self.join(latents, labels)
        return self.layers(joined[:, :, None, None], labels)


class ConvDiscriminator(nn.Module):
    """samples [n, *shape], labels -> Verdict"""

    def __init__(
        self,
        base: int,
        shape: Shape,
        *,
        norm: NormName = "batch",
        attention: int | None = None,
        minibatch: str = "none",
        classes: int | None = None,
        conditioning: Conditioning = "none",
    ) -> None:
        super().__init__()
        maps = classes if classes and conditioning == "concat" else 0
        channels = [shape[0] + maps, *widths(base, shape[1])]
        layers: list[nn.Module] = [LabelMaps(maps)] if maps else []
        plain = norm in ("none", "spectral", "pixel")
        for size, (before, width) in zip(sizes(shape[1])[::-1], pairwise(channels), strict=True):
            first = size * 2 == shape[1]
            layers.append(nn.Conv2d(before, width, 4, 2, 1, bias=plain and not first))
            layers += [] if first else [norm_layer(norm, width)]
            layers += [nn.LeakyReLU(0.2, inplace=True), *attention_at(size, attention, width)]
        extra = [MinibatchStddev()] if minibatch == "stddev" else []
        self.body = Stack(*layers, *extra)
        features = (channels[-1] + len(extra)) * 16
        self.compare = MinibatchDiscrimination(features) if minibatch == "discrimination" else None
        width = features + (self.compare.project.shape[1] if self.compare else 0)
        self.head = Head(width, classes, conditioning, bias=False)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> Verdict:
        features = self.body(samples, labels).flatten(1)
        return self.head(features if self.compare is None else self.compare(features), labels)


@torch.no_grad()
def init(module: nn.Module) -> None:
    """Weights N(0, 0.02), as in the paper."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        module.weight.normal_(0, 0.02)
        if module.bias is not None:
            module.bias.zero_()
    if isinstance(module, GroupBatchNorm2d) and module.weight is not None and module.bias is not None:
        module.weight.normal_(1, 0.02)
        module.bias.zero_()
