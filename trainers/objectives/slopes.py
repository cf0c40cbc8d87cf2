"""Gradients of a discriminator's logits by its samples, which can be differentiated again."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from trainers.objectives.double_backward import double_backward

Discriminate = Callable[[Tensor], Tensor]  # samples -> logits [n], or [n, members] of a panel


def slopes(discriminate: Discriminate, at: Tensor) -> list[Tensor]:
    """Return the gradient of each member's logits at some samples, each shaped as the samples."""
    # Fakes may come in half precision, which the discriminator does not take here.
    at = at.detach().to(torch.promote_types(at.dtype, torch.float32)).requires_grad_(True)
    with double_backward(at.device):
        logits = discriminate(at)
        members = logits.unbind(1) if logits.ndim == 2 else [logits]
        return [torch.autograd.grad(member.sum(), at, create_graph=True)[0] for member in members]


def unit_slope(discriminate: Discriminate, at: Tensor) -> Tensor:
    """Return E[(‖∇D(x)‖ - 1)²] at some samples."""
    return mean_of((length(slope) - 1).square().mean() for slope in slopes(discriminate, at))


def length(slope: Tensor) -> Tensor:
    """Return [n]: the norm of each sample's."""
    return (slope.square().flatten(1).sum(1) + 1e-12).sqrt()  # a norm has no gradient at 0


def mean_of(terms: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(terms)).mean()
