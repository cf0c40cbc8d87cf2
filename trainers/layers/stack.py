"""Layers in a row, of which some look at labels too."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainers.layers.attention import SelfAttention
from trainers.layers.head import Conditioning, Head, Minibatch, label_maps
from trainers.layers.norms import ConditionalNorm, NormName, norm_layer


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What a network leaves open."""

    norm: NormName
    attention: int | None = None  # pixels of the feature maps that get it
    minibatch: Minibatch = "none"
    classes: int | None = None
    conditioning: Conditioning = "none"
    start: int | None = None  # pixels of the first stage, where pictures grow

    @property
    def label_maps(self) -> int:
        """Return the channels that the label adds to the picture."""
        return self.classes or 0 if self.conditioning == "concat" else 0

    @property
    def looks_labels_up(self) -> bool:
        """Return whether a generator does: projection goes with class-conditional batch norm, as in the paper."""
        return bool(self.classes) and self.conditioning == "projection" and self.norm == "batch"

    @property
    def labels_beside_latents(self) -> int:
        """Return the inputs that a generator gains: classes where it learns the label so, else 0."""
        return 0 if self.conditioning == "none" or self.looks_labels_up else self.classes or 0

    def plain_norm(self, channels: int) -> nn.Module:
        """Return the norm without labels, as before the picture."""
        return norm_layer(self.norm, channels)

    def join_labels(self) -> "JoinedLabels | None":
        """Return the layer that puts labels beside latents, where a generator learns them so."""
        return JoinedLabels(self.labels_beside_latents) if self.labels_beside_latents else None

    def norm_in_generator(self, channels: int) -> nn.Module:
        if self.looks_labels_up and self.classes:
            return ConditionalNorm(channels, self.classes)
        return self.plain_norm(channels)


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


def attention_at(size: int, wanted: int | None, channels: int) -> list[nn.Module]:
    return [SelfAttention(channels)] if size == wanted else []


def head(width: int, choices: Choices, *, bias: bool = True) -> Head:
    return Head(width, choices.classes, choices.conditioning, minibatch=choices.minibatch, bias=bias)
