"""Layers in a row, of which some look at labels too."""

import torch
from torch import Tensor, nn

from trainers.layers.attention import SelfAttention
from trainers.layers.norms import ConditionalNorm, NormName, norm_layer
from trainers.layers.verdict import Conditioning, label_maps


class Stack(nn.Sequential):
    """A Sequential that hands labels on to those of its layers that take them."""

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        for layer in self:
            x = layer(x, labels) if isinstance(layer, Stack | ConditionalNorm | Labelled) else layer(x)
        return x


class Labelled(nn.Module):
    """A layer whose forward takes labels too."""


class JoinedLabels(Labelled):
    """[n, d] -> [n, d + classes]: the label beside the latents, one of `classes` numbers being 1."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        return torch.cat([latents, nn.functional.one_hot(labels, self.classes).to(latents.dtype)], 1)


class LabelMaps(Labelled):
    """[n, c, h, w] -> [n, c + classes, h, w]"""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        return torch.cat([x, label_maps(labels, self.classes, x)], 1)


def norm_in_generator(name: NormName, channels: int, classes: int | None, conditioning: Conditioning) -> nn.Module:
    """Projection goes with class-conditional batch norm, as in the paper."""
    if classes and conditioning == "projection" and name == "batch":
        return ConditionalNorm(channels, classes)
    return norm_layer(name, channels)


def labels_beside_latents(classes: int | None, conditioning: Conditioning, norm: NormName) -> int:
    """How many inputs the generator gains: classes where it learns the label so, else 0."""
    if not classes or conditioning == "none" or (conditioning == "projection" and norm == "batch"):
        return 0
    return classes


def attention_at(size: int, wanted: int | None, channels: int) -> list[nn.Module]:
    return [SelfAttention(channels)] if size == wanted else []
