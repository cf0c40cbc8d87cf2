"""The DCGAN stack (1511.06434): strided and transposed convolutions of 4x4, which double or halve the channels."""

from math import log2

import torch
from torch import Tensor, nn

from trainers.layers.batch_norm import GroupBatchNorm2d
from trainers.layers.head import DiscriminatorOutput
from trainers.layers.minibatch import MinibatchStddev
from trainers.layers.norms import norm_layer
from trainers.layers.stack import Choices, JoinedLabels, LabelMaps, attention_at, head
from trainers.layers.stages import falling, rising

Shape = tuple[int, int, int]
BOTTOM = 4  # pixels of the smallest feature maps
WITHOUT_SHIFT = ("none", "spectral", "pixel")


def sizes(resolution: int) -> tuple[int, ...]:
    """Return the pixels of the feature maps between 4x4 and the picture."""
    return tuple(2**level for level in range(2, int(log2(resolution))))


def picture_sizes(resolution: int) -> tuple[int, ...]:
    """Return the pixels of the pictures that those feature maps lead to."""
    return tuple(2 * size for size in sizes(resolution))


class ConvGenerator(nn.Module):
    """latents [n, dim], labels -> [n, *shape] in -1..1"""

    def __init__(self, latent: int, base: int, shape: Shape, choices: Choices) -> None:
        super().__init__()
        joined = choices.labels_beside_latents
        self.join = JoinedLabels(joined) if joined else None
        plain = choices.norm in WITHOUT_SHIFT  # norms with a shift of their own make a bias idle

        def level(size: int) -> list[nn.Module]:
            width = _width(base, shape, size)
            if size == 2 * BOTTOM:
                up = nn.ConvTranspose2d(latent + joined, width, 4, 1, 0, bias=plain)
            else:
                up = nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=plain)
            dressed = [choices.norm_in_generator(width), nn.ReLU(inplace=True)]
            return [up, *dressed, *attention_at(size // 2, choices.attention, width)]

        def picture(size: int) -> list[nn.Module]:
            return [nn.ConvTranspose2d(_width(base, shape, size), shape[0], 4, 2, 1, bias=False), nn.Tanh()]

        self.layers = rising(picture_sizes(shape[1]), choices.start, level, picture)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        joined = latents if self.join is None else self.join(latents, labels)
        return self.layers(joined[:, :, None, None], labels)


class ConvDiscriminator(nn.Module):
    """samples [n, *shape], labels -> DiscriminatorOutput"""

    def __init__(self, base: int, shape: Shape, choices: Choices) -> None:
        super().__init__()
        maps = choices.label_maps
        plain = choices.norm in WITHOUT_SHIFT
        extra = [MinibatchStddev()] if choices.minibatch == "stddev" else []

        def attention(size: int) -> list[nn.Module]:
            return attention_at(size // 2, choices.attention, _width(base, shape, size))

        def picture(size: int) -> list[nn.Module]:
            first = nn.Conv2d(shape[0] + maps, _width(base, shape, size), 4, 2, 1, bias=False)
            return [*([LabelMaps(maps)] if maps else []), first, nn.LeakyReLU(0.2, inplace=True)]

        def level(size: int) -> list[nn.Module]:
            before = _width(base, shape, size)
            down = nn.Conv2d(before, 2 * before, 4, 2, 1, bias=plain)
            return [*attention(size), down, norm_layer(choices.norm, 2 * before), nn.LeakyReLU(0.2, inplace=True)]

        def end() -> list[nn.Module]:
            return [*attention(2 * BOTTOM), *extra]

        self.body = falling(picture_sizes(shape[1]), choices.start, picture, level, end)
        self.head = head((_width(base, shape, 2 * BOTTOM) + len(extra)) * BOTTOM**2, choices, bias=False)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> DiscriminatorOutput:
        return self.head(self.body(samples, labels).flatten(1), labels)


def _width(base: int, shape: Shape, size: int) -> int:
    """Return the channels of the feature map beside a picture of so many pixels: they double with every halving."""
    return base * shape[1] // size


@torch.no_grad()
def init(module: nn.Module) -> None:
    """Draw weights N(0, 0.02), as in the paper."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        module.weight.normal_(0, 0.02)
        if module.bias is not None:
            module.bias.zero_()
    if isinstance(module, GroupBatchNorm2d) and module.weight is not None and module.bias is not None:
        module.weight.normal_(1, 0.02)
        module.bias.zero_()
