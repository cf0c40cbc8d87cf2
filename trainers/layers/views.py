"""What each member of a panel of discriminators sees of a sample."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ViewName = Literal["same", "scales", "projections"]
FILTER = 8  # pixels


class Projection(nn.Module):
    """[n, c, h, w] -> [n, c, h / 2, w / 2]: random filters of unit norm, which never train (1705.07831).

    Of even sides. They are a buffer, so every checkpoint has them.
    """

    filters: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        drawn = torch.randn(channels, channels, FILTER, FILTER)
        self.register_buffer("filters", F.normalize(drawn.flatten(1)).view_as(drawn))

    def forward(self, samples: Tensor) -> Tensor:
        return F.conv2d(samples, self.filters, stride=2, padding=FILTER // 2 - 1)


def views(name: ViewName, count: int, channels: int) -> Sequence[nn.Module]:
    """Return the views of so many members. scales: the k-th, from 0, sees means of 2^k by 2^k pixels (1711.11585)."""
    if name == "scales":
        return [nn.AvgPool2d(2**k) if k else nn.Identity() for k in range(count)]
    if name == "projections":
        return [Projection(channels) for _ in range(count)]
    return [nn.Identity() for _ in range(count)]


def halvings(name: ViewName, count: int) -> Sequence[int]:
    """Return how often each of these views halves a picture."""
    return {"same": [0] * count, "scales": range(count), "projections": [1] * count}[name]


def possible_halvings(side: int, least: int) -> int:
    """Return how often so many pixels can be halved evenly, with the least of them left."""
    return 0 if side % 2 or side // 2 < least else 1 + possible_halvings(side // 2, least)
