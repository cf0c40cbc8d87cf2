"""Networks that grow with their pictures (Karras et al., 1710.10196): they hold the layers of all stages from the start,
so names in checkpoints stay, and run those of the present one.

A stage has a layer from its features to a picture, or back. While a new one fades in, its picture (in a discriminator:
what it makes of the picture) is mixed with that of the stage before.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.growing import Stage
from trainers.layers.stack import Stack

Layers = list[nn.Module]
LayersAt = Callable[[int], Layers]  # of pictures of so many pixels


class Staged(nn.Module):
    """What runs at a stage. `grown` is [pixels, alpha]: it travels with the weights, which make no other pictures."""

    grown: Tensor

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        self.register_buffer("grown", torch.tensor([float(sizes[-1]), 1.0]))
        self.levels, self.pictures = nn.ModuleList(), nn.ModuleList()
        self.number, self.is_fading = len(sizes) - 1, False  # beside `grown`: a branch on a tensor would wait for it
        self.register_load_state_dict_post_hook(lambda module, _: module.follow())

    def grow(self, stage: Stage) -> None:
        self.number, self.is_fading = self.sizes.index(stage.pixels), stage.is_fading
        self.grown[0].fill_(stage.pixels)
        self.grown[1].fill_(stage.alpha)

    def follow(self) -> None:
        """Follow `grown` after it was loaded."""
        pixels, alpha = self.grown.tolist()
        self.number, self.is_fading = self.sizes.index(int(pixels)), alpha < 1

    def idle(self) -> Iterator[nn.Module]:
        """Yield the layers that do not run now."""
        yield from list(self.levels)[self.number + 1 :]
        for number, picture in enumerate(self.pictures):
            if number != self.number and not (self.is_fading and number == self.number - 1):
                yield picture

    def _mixed(self, old: Tensor, new: Tensor) -> Tensor:
        return old + self.grown[1] * (new - old)


class Rising(Staged):
    """features, labels -> pictures: of the stage in training, else enlarged to the full size."""

    def __init__(self, sizes: Sequence[int], levels: Sequence[nn.Module], picture: LayersAt) -> None:
        super().__init__(sizes)
        self.levels.extend(levels)
        self.pictures.extend(Stack(*picture(size)) for size in sizes)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        before = x = self.levels[0](x, labels)
        for number in range(1, self.number + 1):
            before, x = x, self.levels[number](x, labels)
        made = self.pictures[self.number](x)
        if self.is_fading:
            made = self._mixed(enlarged(self.pictures[self.number - 1](before), self.sizes[self.number]), made)
        return made if self.training else enlarged(made, self.sizes[-1])


class Falling(Staged):
    """pictures of the stage, labels -> features"""

    def __init__(self, sizes: Sequence[int], picture: LayersAt, levels: Sequence[nn.Module]) -> None:
        """Take `levels`: from the features of each size to those of the one below."""
        super().__init__(sizes)
        self.pictures.extend(Stack(*picture(size)) for size in sizes)
        self.levels.extend(levels)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        x = self.levels[self.number](self.pictures[self.number](samples, labels), labels)
        if self.is_fading:
            small = reduced(samples, self.sizes[self.number - 1])
            x = self._mixed(self.pictures[self.number - 1](small, labels), x)
        for number in reversed(range(self.number)):
            x = self.levels[number](x, labels)
        return x


def rising(sizes: Sequence[int], start: int | None, level: LayersAt, picture: LayersAt) -> nn.Module:
    """Return a generator's layers. sizes: of the pictures that its levels lead to; start: of the first stage, None: no stages."""
    if start is None:
        return Stack(*chain.from_iterable(map(level, sizes)), *picture(sizes[-1]))
    levels = [Stack(*level(size)) for size in sizes]
    first = sizes.index(start)
    return Rising(sizes[first:], [Stack(*levels[: first + 1]), *levels[first + 1 :]], picture)


def falling(
    sizes: Sequence[int], start: int | None, picture: LayersAt, level: LayersAt, end: Callable[[], Layers]
) -> nn.Module:
    """Return a discriminator's. level: from the features of a size to those of half of it; end: what follows the smallest."""
    if start is None:
        return Stack(*picture(sizes[-1]), *chain.from_iterable(map(level, sizes[:0:-1])), *end())
    levels = [Stack(*end()), *(Stack(*level(size)) for size in sizes[1:])]
    first = sizes.index(start)
    return Falling(sizes[first:], picture, [Stack(*levels[first::-1]), *levels[first + 1 :]])


def grow(network: nn.Module, stage: Stage) -> None:
    for module in _staged(network):
        module.grow(stage)


def freeze_idle(network: nn.Module) -> None:
    """Let what does not run now have no gradient."""
    for module in _staged(network):
        for layer in module.idle():
            layer.requires_grad_(False)


def _staged(network: nn.Module) -> Iterator[Staged]:
    return (module for module in network.modules() if isinstance(module, Staged))


def shown(samples: Tensor, stage: Stage | None) -> Tensor:
    """Show real pictures as the stage has them: while it fades in, their detail does too. None: as they are."""
    if stage is None:
        return samples
    samples = reduced(samples, stage.pixels)
    if not stage.is_fading:
        return samples
    coarse = enlarged(reduced(samples, stage.pixels // 2), stage.pixels)
    return coarse + stage.alpha * (samples - coarse)


def reduced(pictures: Tensor, pixels: int) -> Tensor:
    """Return pictures made smaller, by means over squares."""
    return F.avg_pool2d(pictures, pictures.shape[3] // pixels) if pictures.shape[3] != pixels else pictures


def enlarged(pictures: Tensor, pixels: int) -> Tensor:
    """Return pictures made larger, by squares of one colour."""
    return (
        F.interpolate(pictures, scale_factor=pixels // pictures.shape[3]) if pictures.shape[3] != pixels else pictures
    )
