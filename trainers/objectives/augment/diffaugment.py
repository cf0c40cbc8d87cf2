"""Differentiable augmentation: Zhao et al., 2006.10738."""

import torch
from pydantic import Field
from torch import Tensor

from trainers.objectives.augmentation import Augmentation, State
from trainers.objectives.shifts import shifted
from trainers.randomness.draws import Draws


class DiffAugment(Augmentation):
    """The same differentiable changes on reals and fakes (2006.10738)."""

    colour: bool = Field(default=True, description="brightness ±0.5, saturation 0..2, contrast 0.5..1.5")
    translation: float = Field(default=0.125, ge=0, le=0.5, description="share of the picture")
    cutout: float = Field(default=0.5, ge=0, le=1, description="side of the hole, as a share of the picture")

    def apply(self, samples: Tensor, draws: Draws, purpose: str, state: State) -> Tensor:
        if self.colour:
            samples = _coloured(samples, draws.uniform(f"colour/{purpose}", 3))
        if self.translation:
            samples = shifted(samples, draws, self.translation, f"translation/{purpose}")
        if self.cutout:
            samples = samples * _holes(samples, draws.uniform(f"cutout/{purpose}", 2), self.cutout)
        return samples


def _coloured(samples: Tensor, drawn: Tensor) -> Tensor:
    brightness, saturation, contrast = drawn[:, :, None, None, None].unbind(1)
    samples = samples + (brightness - 0.5)
    grey = samples.mean(1, keepdim=True)
    samples = grey + (samples - grey) * (2 * saturation)
    mean = samples.mean((1, 2, 3), keepdim=True)
    return mean + (samples - mean) * (contrast + 0.5)


def _holes(samples: Tensor, drawn: Tensor, share: float) -> Tensor:
    """Return [n, 1, h, w]: 0 in a rectangle around a random place, which may stick out."""
    height, width = samples.shape[2:]
    rows = _hole(drawn[:, 0], height, share)
    columns = _hole(drawn[:, 1], width, share)
    return 1 - (rows[:, None, :, None] & columns[:, None, None, :]).to(samples.dtype)


def _hole(drawn: Tensor, size: int, share: float) -> Tensor:
    side = int(size * share + 0.5)
    start = (drawn * (size + 1 - side % 2)).long() - side // 2
    places = torch.arange(size, device=drawn.device)
    return (places >= start[:, None]) & (places < start[:, None] + side)
