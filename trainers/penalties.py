"""Penalties on the discriminator. Each is a mean over samples, of a term that sees one sample."""

from collections.abc import Callable

import torch
from torch import Tensor

Discriminate = Callable[[Tensor], Tensor]  # samples -> logits


def r1(discriminate: Discriminate, reals: Tensor) -> Tensor:
    """E[‖∇D(x)‖²] / 2 at real samples (Mescheder et al., 1801.04406); the weight γ is the caller's.

    Adds 0 · logits, so that weights without part in the gradient (the last bias) get a zero gradient, not None:
    Adam treats the two differently, and DDP waits for each.
    """
    reals = reals.detach().requires_grad_(True)
    logits = discriminate(reals)
    (slope,) = torch.autograd.grad(logits.sum(), reals, create_graph=True)
    return slope.square().flatten(1).sum(1).mean() / 2 + 0 * logits.mean()
