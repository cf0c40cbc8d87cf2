"""Normalisations that networks choose by name."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from trainers.layers.batch_norm import GroupBatchNorm2d

NormName = Literal["batch", "instance", "layer", "pixel", "spectral", "none"]


class PixelNorm(nn.Module):
    """Each pixel's channels to a mean square of 1 (Karras et al., 1710.10196)."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


class ConditionalNorm(nn.Module):
    """Batch norm whose gain and shift are looked up by label (Dumoulin et al., 1610.07629)."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.norm = GroupBatchNorm2d(channels, affine=False)
        self.gain, self.shift = nn.Embedding(classes, channels), nn.Embedding(classes, channels)
        nn.init.ones_(self.gain.weight)
        nn.init.zeros_(self.shift.weight)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        return self.norm(x) * self.gain(labels)[:, :, None, None] + self.shift(labels)[:, :, None, None]


def norm_layer(name: NormName, channels: int) -> nn.Module:
    """Return the layer that normalises a feature map. Spectral norm is one of weights: its layer does nothing, see `with_spectral_norm`."""
    if name == "batch":
        return GroupBatchNorm2d(channels)
    if name == "instance":
        return nn.GroupNorm(channels, channels)  # InstanceNorm2d refuses maps of one pixel, this does not
    if name == "layer":
        return nn.GroupNorm(1, channels)
    if name == "pixel":
        return PixelNorm()
    return nn.Identity()


def with_spectral_norm(network: nn.Module, eps: float = 1e-12, *, embeddings: bool = True) -> nn.Module:
    """Put spectral norm on every weight that multiplies (Miyato et al., 1802.05957). embeddings: on those too.

    One power iteration a phase: the engine's `parametrize.cached()` lets only the first forward iterate. The vectors
    are buffers, so they are in the checkpoint; they follow from the weights alone, so every rank has the same.
    """
    for module in list(network.modules()):
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear) or (
            embeddings and isinstance(module, nn.Embedding)
        ):
            spectral_norm(module, eps=eps)
    return network
