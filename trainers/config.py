"""The parts of a family's Config that bear the same names in every family."""

from collections.abc import Iterable
from math import cos, pi
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import nn

from trainers.randomness.draws import Draws


class Part(BaseModel):
    """Frozen, and without room for what it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Latent(Part):
    """The generator's input."""

    dim: int = Field(default=100, ge=1, description="numbers per sample")
    distribution: Literal["normal", "uniform"] = Field(default="normal", description="N(0, 1), or uniform in -1..1")

    def draw(self, draws: Draws, purpose: str = "latent") -> torch.Tensor:
        """Return [samples, dim]"""
        if self.distribution == "normal":
            return draws.normal(purpose, self.dim)
        return draws.uniform(purpose, self.dim) * 2 - 1


class OptimizerConfig(Part):
    """How one player's networks are trained."""

    optimizer: Literal["adam", "rmsprop", "sgd"] = "adam"
    lr: float = Field(default=2e-4, gt=0, description="learning rate at the start")
    betas: tuple[float, float] = Field(
        default=(0.5, 0.999),
        description="decay of the first and second moments; rmsprop uses both likewise, sgd the first as its momentum",
    )
    eps: float = Field(default=1e-8, gt=0, description="Adam's ε, which rmsprop and sgd do not look at")
    final_betas: tuple[float, float] | None = Field(
        default=None, description="reached by a cosine at the end; null: betas stay"
    )
    steps: int = Field(default=1, ge=1, description="optimizer steps within a training step, each on new real examples")
    schedule: Literal["constant", "linear", "cosine"] = Field(
        default="constant",
        description="of the learning rate over the training: constant, or to final_lr linearly or by a cosine",
    )
    final_lr: float = Field(default=0.0, ge=0, description="learning rate at the end of a linear or cosine schedule")
    decay_from: float = Field(
        default=0.0, ge=0, lt=1, description="share of the training at which a linear or cosine schedule begins to fall"
    )
    warm_up: float = Field(
        default=0.0, ge=0, lt=1, description="share of the training in which the rate rises linearly from 0"
    )
    clip: float | None = Field(default=None, gt=0, description="weights are cut to ±clip after every turn; null: never")

    def build(self, parameters: Iterable[nn.Parameter], every: int | None = None) -> torch.optim.Optimizer:
        """Build the optimizer.

        every: interval of a lazy penalty with steps of its own, which then count in lr and betas.
        StyleGAN2's rule (1912.04958, appendix B): with c = k / (k + 1), lr is c · lr and each beta is beta^c.
        """
        c = lazy_share(every)
        lr, (first, second) = self.lr * c, self._powers(self.betas, c)
        if self.optimizer == "rmsprop":
            return torch.optim.RMSprop(parameters, lr=lr, alpha=second, momentum=first)
        if self.optimizer == "sgd":
            return torch.optim.SGD(parameters, lr=lr, momentum=first)
        return torch.optim.Adam(parameters, lr=lr, betas=(first, second), eps=self.eps, fused=True)

    def factor(self, progress: float) -> float:
        """Return that of the learning rate, at this share of the training (0..1)."""
        rising = min(progress / self.warm_up, 1.0) if self.warm_up else 1.0
        end = self.final_lr / self.lr
        past = max(progress - self.decay_from, 0.0) / (1 - self.decay_from)
        if self.schedule == "linear":
            return rising * (end + (1 - end) * max(0.0, 1.0 - past))
        if self.schedule == "cosine":
            return rising * (end + (1 - end) * falling(past))
        return rising

    def betas_at(self, progress: float, every: int | None = None) -> tuple[float, float] | None:
        """Return Adam's betas at this share of the training; None where they stay."""
        if self.final_betas is None:
            return None
        left = falling(progress)
        betas = [end + (begin - end) * left for begin, end in zip(self.betas, self.final_betas, strict=True)]
        return self._powers((betas[0], betas[1]), lazy_share(every))

    @staticmethod
    def _powers(betas: tuple[float, float], power: float) -> tuple[float, float]:
        return betas[0] ** power, betas[1] ** power

    @model_validator(mode="after")
    def _only_adam_has_moments_that_move(self) -> "OptimizerConfig":
        if self.final_betas and self.optimizer != "adam":
            raise ValueError(f"final_betas are Adam's, and optimizer is {self.optimizer!r}")
        return self


def lazy_share(every: int | None) -> float:
    return 1.0 if every is None else every / (every + 1)


def falling(progress: float) -> float:
    """Return what goes from 1 to 0 by half a cosine while progress goes from 0 to 1."""
    return (1 + cos(pi * min(progress, 1.0))) / 2


class Ema(Part):
    """The average of the weights that samples are drawn from."""

    half_life: float = Field(
        default=50_000,
        ge=0,
        description="examples that the generator made until a weight counts half; 0 means no averaging. "
        "50,000 is a decay of 0.9991 at a batch of 64",
    )
    initial: float | None = Field(
        default=None, ge=0, description="half-life at the start, from which it rises by a cosine; null: it stays"
    )
    ramp: float | None = Field(
        default=0.05, gt=0, description="the half-life is at most this share of the training so far; null means no ramp"
    )
    start: int = Field(default=0, ge=0, description="training steps before which the average is the weights themselves")

    def half_life_at(self, progress: float) -> float:
        """Return that at this share of the training (0..1)."""
        if self.initial is None:
            return self.half_life
        return self.half_life + (self.initial - self.half_life) * falling(progress)


class Execution(Part):
    """How a step is computed; what it computes stays the same."""

    compile: bool = Field(
        default=False,
        description="torch.compile for the networks, except the passes that a penalty differentiates twice; needs a C++ compiler on CPUs",
    )
    cuda_graphs: bool = Field(
        default=False,
        description="replay what was compiled as CUDA graphs, since small networks wait for their launches; needs compile, changes nothing on a CPU",
    )
    gradient_accumulation: int = Field(
        default=1,
        ge=1,
        description="parts that the batch of an optimizer step is taken in, one after another, to save memory",
    )

    @model_validator(mode="after")
    def _graphs_are_of_compiled_code(self) -> "Execution":
        if self.cuda_graphs and not self.compile:
            raise ValueError("cuda_graphs replays compiled networks, and compile is false; set compile: true")
        return self


class Growing(Part):
    """Pictures that double in size as the training goes on, and networks that grow with them (1710.10196)."""

    start: int = Field(default=8, ge=4, description="pixels of the first stage")
    until: float = Field(
        default=0.6, gt=0, le=1, description="share of the training after which the whole networks are faded in"
    )
    fade: float = Field(
        default=0.5, ge=0, le=1, description="share of each later stage in which its layers fade in; 0: at once"
    )
