"""Layers whose weights are N(0, 1) and scaled when they are used, so that Adam moves all of them equally fast (1710.10196)."""

from math import prod, sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE, GAIN = 0.2, sqrt(2)  # of the leaky ReLU, whose output is scaled to keep its variance


def activated(x: Tensor, gain: float = GAIN) -> Tensor:
    """Return leaky ReLU of 0.2, scaled."""
    return F.leaky_relu(x, SLOPE) * gain


class EqualisedLinear(nn.Module):
    """[n, d] -> [n, width]"""

    def __init__(self, before: int, width: int, *, rate: float = 1.0, bias: float = 0.0) -> None:
        """Take `rate`: of learning, beside the other layers' (StyleGAN's mapping has 0.01); `bias`: at the start."""
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, before) / rate)
        self.bias = nn.Parameter(torch.full((width,), bias / rate))
        self.scale, self.rate = rate / sqrt(before), rate

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias * self.rate)


class EqualisedConv(nn.Module):
    """[n, c, h, w] -> [n, width, h', w']"""

    def __init__(self, before: int, width: int, size: int, *, bias: bool = True, stride: int = 1) -> None:
        """Take `size`: of the kernel; padded so that a stride of 1 keeps the size, and not at all with another."""
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, before, size, size))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None
        self.scale, self.stride = 1 / sqrt(prod(self.weight.shape[1:])), stride
        self.padding = size // 2 if stride == 1 else 0

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, self.bias, self.stride, self.padding)


def normalised(x: Tensor) -> Tensor:
    """Return [n, d] with a mean square of 1 in each row."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)
