"""Equal steps of the latents move samples equally far: Karras et al., 1912.04958."""

from collections.abc import Callable
from math import sqrt
from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from trainers.objectives.double_backward import double_backward
from trainers.objectives.penalty import GENERATOR, LazyPenalty
from trainers.objectives.slopes import length
from trainers.parallel import mean_over_ranks

if TYPE_CHECKING:
    from trainers.gan.turn import Turn

Generate = Callable[[Tensor], Tensor]  # z [n, dim], or w of each layer [n, layers, dim] -> samples


class PathLength(LazyPenalty):
    """λ · E[(‖Jᵀy‖ - a)²] on the generator, J of samples by latents, y noise, a the running mean (1912.04958).

    By w, where a family has a mapping network, else by the latents z themselves.
    """

    per_sample: ClassVar[bool] = True
    whole_batch: ClassVar[bool] = True

    weight: float = Field(default=2.0, gt=0, description="λ")
    every: int = Field(
        default=4, ge=1, description="steps between penalties, which are scaled up by it; 1 adds it to the loss"
    )
    decay: float = Field(default=0.99, ge=0, lt=1, description="of the running mean, which begins at 0, per penalty")
    share: float = Field(default=0.5, gt=0, le=1, description="of each group of samples; at least one counts")

    @property
    def player(self) -> str:
        return GENERATOR

    def state(self) -> dict[str, Tensor]:
        return {"path_length": torch.zeros(())}

    def term(self, turn: "Turn") -> Tensor:
        """Return that of the first samples of every group, so that they are the same for any number of workers."""
        some = turn.first_of_groups(self.share)
        noise = some.draws.normal("path noise", *some.reals.samples.shape[1:])
        lengths = path_lengths(some.path_end, some.path_start(), noise)
        mean = self._running_mean(turn.state["path_length"], lengths.detach())
        turn.stats["path_length"] = lengths.detach().mean()
        return (lengths - mean).square().mean()

    @torch.no_grad()
    def _running_mean(self, mean: Tensor, lengths: Tensor) -> Tensor:
        """Return it with these lengths included."""
        mean.lerp_(mean_over_ranks(lengths.mean()), 1 - self.decay)
        return mean.clone()


def path_lengths(generate: Generate, latents: Tensor, noise: Tensor) -> Tensor:
    """Return [n] of ‖Jᵀy‖, J the samples' Jacobian by the latents, y the noise, N(0, 1), over the root of the pixels: how
    far a sample goes where its latent goes a little; the root of the mean square over layers. noise: as the samples"""
    latents = latents.to(torch.promote_types(latents.dtype, torch.float32))  # a mapping may have run in half precision
    if not latents.requires_grad:
        latents = latents.detach().requires_grad_(True)
    with double_backward(latents.device):
        samples = generate(latents)
        pixels = noise[0, 0].numel()
        (slope,) = torch.autograd.grad((samples * noise).sum() / sqrt(pixels), latents, create_graph=True)
        return length(slope) if slope.ndim == 2 else (slope.square().sum(2).mean(1) + 1e-12).sqrt()
