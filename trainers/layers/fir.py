"""Resampling by 2 with the filter [1, 3, 3, 1] (Karras et al., 1912.04958), which lets little alias through.

As sums of shifted pictures: on a CPU many times quicker than a convolution per channel, and any number of times
differentiable. Beyond the edge is 0.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

TAPS = (1.0, 3.0, 3.0, 1.0)


def smoothed(x: Tensor, padding: tuple[int, int], gain: float = 1.0) -> Tensor:
    """Return [n, c, h, w] filtered along both axes; of h + sum(padding) - 3 rows. padding: before and after."""
    return _filtered(_filtered(x, 2, padding, gain), 3, padding, gain)


def doubled(x: Tensor) -> Tensor:
    """Return [n, c, 2 h, 2 w]."""
    return _doubled(_doubled(x, 2), 3)


def halved(x: Tensor) -> Tensor:
    """Return [n, c, h / 2, w / 2] of even h and w."""
    return smoothed(x, (1, 1))[:, :, ::2, ::2]


def _filtered(x: Tensor, axis: int, padding: tuple[int, int], gain: float) -> Tensor:
    padded = F.pad(x, padding if axis == 3 else (0, 0, *padding))
    size = padded.shape[axis] - len(TAPS) + 1
    scale = gain / sum(TAPS)
    parts = [padded.narrow(axis, place, size) for place in range(len(TAPS))]
    return scale * (parts[0] + parts[3]) + 3 * scale * (parts[1] + parts[2])


def _doubled(x: Tensor, axis: int) -> Tensor:
    """Return what zeros between the rows and the filter of gain 2 give: each row between mixes its neighbours 3 to 1."""
    size = x.shape[axis]
    padded = F.pad(x, (1, 1) if axis == 3 else (0, 0, 1, 1))
    before, after = padded.narrow(axis, 0, size), padded.narrow(axis, 2, size)
    return torch.stack([(before + 3 * x) / 4, (3 * x + after) / 4], axis + 1).flatten(axis, axis + 1)
