"""The DCGAN stack (1511.06434): strided and transposed convolutions of 4x4, which double or halve the channels."""

from itertools import pairwise
from math import log2

import torch
from torch import Tensor, nn

from trainers.layers.batch_norm import GroupBatchNorm2d
from trainers.layers.minibatch import MinibatchStddev
from trainers.layers.norms import norm_layer
from trainers.layers.stack import Choices, JoinedLabels, LabelMaps, Stack, attention_at, head
from trainers.layers.verdict import Verdict

Shape = tuple[int, int, int]
WITHOUT_SHIFT = ("none", "spectral", "pixel")


def widths(base: int, resolution: int) -> list[int]:
    """Channels at half the resolution, a quarter, … down to 4x4: base, 2 base, …"""
    return [base * 2**level for level in range(int(log2(resolution)) - 2)]


def sizes(resolution: int) -> tuple[int, ...]:
    """Pixels of the feature maps between 4x4 and the picture."""
    return tuple(2**level for level in range(2, int(log2(resolution))))


class ConvGenerator(nn.Module):
    """latents [n, dim], labels -> [n, *shape] in -1..1"""

    def __init__(self, latent: int, base: int, shape: Shape, choices: Choices) -> None:
        super().__init__()
        joined = choices.labels_beside_latents
        self.join = JoinedLabels(joined) if joined else None
        channels = widths(base, shape[1])[::-1]
        plain = choices.norm in WITHOUT_SHIFT  # norms with a shift of their own make a bias idle
        layers: list[nn.Module] = [nn.ConvTranspose2d(latent + joined, channels[0], 4, 1, 0, bias=plain)]
        for size, (width, following) in zip(sizes(shape[1]), pairwise([*channels, shape[0]]), strict=True):
            layers += [choices.norm_in_generator(width), nn.ReLU(inplace=True)]
            layers += attention_at(size, choices.attention, width)
            last = size * 2 == shape[1]
            layers.append(nn.ConvTranspose2d(width, following, 4, 2, 1, bias=plain and not last))
        self.layers = Stack(*layers, nn.Tanh())

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        joined = latents if self.join is None else self.join(latents, labels)
        return self.layers(joined[:, :, None, None], labels)


class ConvDiscriminator(nn.Module):
    """samples [n, *shape], labels -> Verdict"""

    def __init__(self, base: int, shape: Shape, choices: Choices) -> None:
        super().__init__()
        maps = choices.label_maps
        channels = [shape[0] + maps, *widths(base, shape[1])]
        layers: list[nn.Module] = [LabelMaps(maps)] if maps else []
        plain = choices.norm in WITHOUT_SHIFT
        for size, (before, width) in zip(sizes(shape[1])[::-1], pairwise(channels), strict=True):
            first = size * 2 == shape[1]
            layers.append(nn.Conv2d(before, width, 4, 2, 1, bias=plain and not first))
            layers += [] if first else [norm_layer(choices.norm, width)]
            layers += [nn.LeakyReLU(0.2, inplace=True), *attention_at(size, choices.attention, width)]
        extra = [MinibatchStddev()] if choices.minibatch == "stddev" else []
        self.body = Stack(*layers, *extra)
        self.head = head((channels[-1] + len(extra)) * 16, choices, bias=False)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> Verdict:
        return self.head(self.body(samples, labels).flatten(1), labels)


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
