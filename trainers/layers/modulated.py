"""Convolutions whose weights a style scales per sample, and normalises again (Karras et al., 1912.04958, section 2.2).

The scaling is moved from the weights to the convolution's input, and the normalisation to its output, which is the same
and needs one convolution for all samples.
"""

from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.layers.equalised import EqualisedLinear, activated
from trainers.layers.fir import smoothed
from trainers.randomness.source import drawn


def modulated(x: Tensor, weight: Tensor, styles: Tensor, *, demodulate: bool = True, double: bool = False) -> Tensor:
    """Return the convolution of [n, c, h, w] with weights [width, c, k, k] scaled by styles [n, c].

    demodulate: each sample's weights have a norm of 1 for each output; double: the output has twice the pixels.
    """
    if demodulate:
        # Neither changes the result, but half precision would overflow without.
        weight = weight * torch.rsqrt(weight.square().mean((1, 2, 3), keepdim=True))
        styles = styles * torch.rsqrt(styles.square().mean(1, keepdim=True) + 1e-8)
    x = x * styles[:, :, None, None].to(x.dtype)
    if double:
        y = smoothed(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), (1, 1), gain=2)
    else:
        y = F.conv2d(x, weight, padding=weight.shape[2] // 2)
    if not demodulate:
        return y
    norms = torch.rsqrt(styles.square() @ weight.square().sum((2, 3)).T + 1e-8)
    return y * norms[:, :, None, None].to(y.dtype)


class StyledConv(nn.Module):
    """features, w [n, d] -> features: modulated convolution, noise, leaky ReLU."""

    def __init__(self, before: int, width: int, w_dim: int, name: str, *, double: bool = False) -> None:
        """Take `name`, which keeps its noise apart from other layers'."""
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, before, 3, 3))
        self.bias = nn.Parameter(torch.zeros(width))
        self.style = EqualisedLinear(w_dim, before, bias=1.0)
        self.strength = nn.Parameter(torch.zeros(()))  # of the noise
        self.name, self.doubles = name, double

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        y = modulated(x, self.weight, self.style(w), double=self.doubles)
        noise = drawn(self.name, len(y), 1, *y.shape[2:], normal=True)
        return activated(y + (self.strength * noise).to(y.dtype) + self.bias[:, None, None])


class ToPicture(nn.Module):
    """features, w [n, d] -> [n, channels, h, w]: a modulated 1x1 convolution, not normalised."""

    def __init__(self, before: int, channels: int, w_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, before, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.style = EqualisedLinear(w_dim, before, bias=1.0)
        self.scale = 1 / sqrt(before)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        return modulated(x, self.weight, self.style(w) * self.scale, demodulate=False) + self.bias[:, None, None]
