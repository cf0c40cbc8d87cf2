"""Resampling with the [1, 2, 1] filter, which lets no checkerboard through (Zhang, 1904.11486).

As sums of shifted pictures: on a CPU many times quicker than a convolution per channel. Beyond the edge is 0.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def halved(x: Tensor) -> Tensor:
    """Halve [n, c, h, w] -> [n, c, h / 2, w / 2]"""
    return _half(_half(x, 2), 3)


def doubled(x: Tensor) -> Tensor:
    """Double [n, c, h, w] -> [n, c, 2 h, 2 w]"""
    return _double(_double(x, 2), 3)


class Halved(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return halved(x)


class Doubled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return doubled(x)


def _half(x: Tensor, axis: int) -> Tensor:
    even, odd = x.unflatten(axis, (-1, 2)).unbind(axis + 1)
    return (_shifted(odd, axis, 1) + 2 * even + odd) / 4


def _double(x: Tensor, axis: int) -> Tensor:
    return torch.stack([x, (x + _shifted(x, axis, -1)) / 2], axis + 1).flatten(axis, axis + 1)


def _shifted(x: Tensor, axis: int, by: int) -> Tensor:
    """Put at place i what place i - by held."""
    size = x.shape[axis]
    sides = (1, 0) if by > 0 else (0, 1)
    padded = F.pad(x, sides if axis == 3 else (0, 0, *sides))
    return padded.narrow(axis, 0 if by > 0 else 1, size)
