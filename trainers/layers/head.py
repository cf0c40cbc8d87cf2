"""What a discriminator says of its samples, and the heads that say it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from trainers.layers.minibatch import MinibatchDiscrimination
from trainers.layers.modes import without_autocast

Conditioning = Literal["none", "projection", "auxiliary", "concat"]
Minibatch = Literal["none", "stddev", "discrimination"]


@dataclass(frozen=True, kw_only=True)
class DiscriminatorOutput:
    """Of a head, and so in full precision also under autocast."""

    logits: Tensor  # [n], or [n, members] of a panel
    features: Tensor  # [n, d]: what the logits are made from
    classes: Tensor | None = None  # [n, classes]: logits of an auxiliary classifier

    def halves(self) -> tuple["DiscriminatorOutput", "DiscriminatorOutput"]:
        """Return that of the first half of the samples, and that of the second."""
        classes = (None, None) if self.classes is None else self.classes.chunk(2)
        first, second = zip(self.logits.chunk(2), self.features.chunk(2), classes, strict=True)
        return _output(*first), _output(*second)


def _output(logits: Tensor, features: Tensor, classes: Tensor | None) -> "DiscriminatorOutput":
    return DiscriminatorOutput(logits=logits, features=features, classes=classes)


def _full(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


class Head(nn.Module):
    """features [n, d], labels [n] -> DiscriminatorOutput; first the samples of a group are compared, if minibatch says so.

    projection: logits gain the inner product of the features with an embedding of the label (Miyato and Koyama,
    1802.05637). auxiliary: a second output names the class (Odena et al., 1610.09585).
    """

    def __init__(
        self,
        width: int,
        classes: int | None,
        conditioning: Conditioning = "none",
        *,
        minibatch: Minibatch = "none",
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.compare = MinibatchDiscrimination(width) if minibatch == "discrimination" else None
        width += self.compare.project.shape[1] if self.compare else 0
        self.score = nn.Linear(width, 1, bias=bias)
        self.embedding = nn.Embedding(classes, width) if classes and conditioning == "projection" else None
        if self.embedding is not None:
            nn.init.normal_(self.embedding.weight, std=width**-0.5)  # N(0, 1) would drown the other term
        self.classifier = nn.Linear(width, classes) if classes and conditioning == "auxiliary" else None

    def forward(self, features: Tensor, labels: Tensor | None) -> DiscriminatorOutput:
        # In full precision also under autocast: logits that have drifted far lose their differences in 8 bits.
        with without_autocast(features.device):
            return self._output(_full(features), labels)

    def _output(self, features: Tensor, labels: Tensor | None) -> DiscriminatorOutput:
        features = features if self.compare is None else self.compare(features)
        logits = self.score(features).flatten()
        if self.embedding is not None:
            logits = logits + (self.embedding(labels) * features).sum(1)
        classes = None if self.classifier is None else self.classifier(features)
        return DiscriminatorOutput(logits=logits, features=features, classes=classes)


class Panel(nn.Module):
    """Several discriminators, each with a view of the samples: every loss and penalty is the mean over them (GMAN's plain
    mean, 1611.01673)."""

    def __init__(self, members: Sequence[nn.Module], views: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members, self.views = nn.ModuleList(members), nn.ModuleList(views)

    def forward(self, samples: Tensor, labels: Tensor | None) -> DiscriminatorOutput:
        outputs: list[DiscriminatorOutput] = [
            member(view(samples), labels) for member, view in zip(self.members, self.views, strict=True)
        ]
        classes = [output.classes for output in outputs if output.classes is not None]
        return DiscriminatorOutput(
            logits=torch.stack([output.logits for output in outputs], 1),
            features=torch.cat([output.features for output in outputs], 1),
            classes=torch.stack(classes).mean(0) if classes else None,
        )


def panel(members: Sequence[nn.Module], views: Sequence[nn.Module]) -> nn.Module:
    return members[0] if len(members) == 1 else Panel(members, views)


def label_maps(labels: Tensor, classes: int, like: Tensor) -> Tensor:
    """Return [n, classes, height, width]: ones in the map of the label, zeros elsewhere (Mirza and Osindero, 1411.1784)."""
    hot = torch.nn.functional.one_hot(labels, classes).to(like.dtype)
    return hot[:, :, None, None].expand(-1, -1, *like.shape[2:])
