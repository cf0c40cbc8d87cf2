"""Mirrors and shifts by whole pixels, which several objectives use."""

import torch
from torch import Tensor

from trainers.randomness.draws import Draws


def mirrored(samples: Tensor, draws: Draws, purpose: str = "mirror") -> Tensor:
    """Return each picture mirrored with probability 1/2."""
    return torch.where(draws.uniform(purpose, 1, 1, 1) < 0.5, samples.flip(3), samples)


def shifted(samples: Tensor, draws: Draws, share: float, purpose: str = "shift") -> Tensor:
    """Return each picture moved by whole pixels, up to a share of the picture, each shift as often; what comes in is 0."""
    height, width = samples.shape[2:]
    drawn = draws.uniform(purpose, 2)
    down, right = (_shift(drawn[:, axis], size, share) for axis, size in enumerate((height, width)))
    rows = torch.arange(height, device=samples.device) + down[:, None]
    columns = torch.arange(width, device=samples.device) + right[:, None]
    inside = _within(rows, height)[:, None, :, None] & _within(columns, width)[:, None, None, :]
    picked = samples[
        torch.arange(len(samples), device=samples.device)[:, None, None],
        :,
        rows.clamp(0, height - 1)[:, :, None],
        columns.clamp(0, width - 1)[:, None, :],
    ].permute(0, 3, 1, 2)
    return picked * inside.to(samples.dtype)


def _shift(drawn: Tensor, size: int, share: float) -> Tensor:
    most = int(size * share + 0.5)
    return (drawn * (2 * most + 1)).long() - most


def _within(places: Tensor, size: int) -> Tensor:
    return (places >= 0) & (places < size)
