"""The parts of a family's Config that bear the same names in every family."""

from collections.abc import Iterable
from math import cos, pi
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from trainers.draws import Draws


class Part(BaseModel):
    """Frozen, and without room for what it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Latent(Part):
    """The generator's input."""

    dim: int = Field(default=100, ge=1, description="numbers per sample")
    distribution: Literal["normal", "uniform"] = Field(default="normal", description="N(0, 1), or uniform in -1..1")

    def draw(self, draws: Draws, purpose: str = "latent") -> torch.Tensor:
        """[samples, dim]"""
        if self.distribution == "normal":
            return draws.normal(purpose, self.dim)
        return draws.uniform(purpose, self.dim) * 2 - 1


class Player(Part):
    """How one network is trained: Adam."""

    lr: float = Field(default=2e-4, gt=0, description="learning rate at the start")
    betas: tuple[float, float] = Field(default=(0.5, 0.999), description="Adam's decay of the first and second moments")
    steps: int = Field(default=1, ge=1, description="turns within a training step, each on new real examples")
    schedule: Literal["constant", "linear", "cosine"] = Field(
        default="constant",
        description="of the learning rate over the training: constant, or to 0 linearly or by a cosine",
    )

    def build(self, parameters: Iterable[nn.Parameter], every: int | None = None) -> torch.optim.Optimizer:
        """every: interval of a lazy penalty with steps of its own, which then count in lr and betas.

        StyleGAN2's rule (1912.04958, appendix B): with c = k / (k + 1), lr is c · lr and each beta is beta^c.
        """
        c = 1.0 if every is None else every / (every + 1)
        betas = (self.betas[0] ** c, self.betas[1] ** c)
        return torch.optim.Adam(parameters, lr=self.lr * c, betas=betas, fused=True)

    def factor(self, progress: float) -> float:
        """Of the learning rate, at this share of the training (0..1)."""
        if self.schedule == "linear":
            return max(0.0, 1.0 - progress)
        if self.schedule == "cosine":
            return (1 + cos(pi * min(progress, 1.0))) / 2
        return 1.0


class Ema(Part):
    """The average of the generator's weights that samples are drawn from."""

    half_life: float = Field(
        default=10_000, ge=0, description="examples until a weight counts half; 0 means no averaging"
    )
    ramp: float | None = Field(
        default=0.05, gt=0, description="the half-life is at most this share of the examples seen; null means no ramp"
    )


class R1(Part):
    """Penalty γ/2 · E[‖∇D(x)‖²] at real samples."""

    weight: float = Field(default=10.0, gt=0, description="γ")
    every: int = Field(
        default=1, ge=1, description="steps between penalties, which are scaled up by it; 1 adds it to the loss"
    )


class Penalties(Part):
    """On the discriminator."""

    r1: R1 | None = Field(default=None, description="null means none")
