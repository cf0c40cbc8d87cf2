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
        """[samples, dim]"""
        if self.distribution == "normal":
            return draws.normal(purpose, self.dim)
        return draws.uniform(purpose, self.dim) * 2 - 1


class Player(Part):
    """How one network is trained."""

    optimizer: Literal["adam", "rmsprop", "sgd"] = "adam"
    lr: float = Field(default=2e-4, gt=0, description="learning rate at the start")
    betas: tuple[float, float] = Field(
        default=(0.5, 0.999),
        description="decay of the first and second moments; rmsprop uses both likewise, sgd the first as its momentum",
    )
    final_betas: tuple[float, float] | None = Field(
        default=None, description="reached by a cosine at the end; null: betas stay"
    )
    steps: int = Field(default=1, ge=1, description="turns within a training step, each on new real examples")
    schedule: Literal["constant", "linear", "cosine"] = Field(
        default="constant",
        description="of the learning rate over the training: constant, or to final_lr linearly or by a cosine",
    )
    final_lr: float = Field(default=0.0, ge=0, description="learning rate at the end of a linear or cosine schedule")
    clip: float | None = Field(default=None, gt=0, description="weights are cut to ±clip after every turn; null: never")

    def build(self, parameters: Iterable[nn.Parameter], every: int | None = None) -> torch.optim.Optimizer:
        """every: interval of a lazy penalty with steps of its own, which then count in lr and betas.

        StyleGAN2's rule (1912.04958, appendix B): with c = k / (k + 1), lr is c · lr and each beta is beta^c.
        """
        c = lazy_share(every)
        lr, (first, second) = self.lr * c, self._powers(self.betas, c)
        if self.optimizer == "rmsprop":
            return torch.optim.RMSprop(parameters, lr=lr, alpha=second, momentum=first)
        if self.optimizer == "sgd":
            return torch.optim.SGD(parameters, lr=lr, momentum=first)
        return torch.optim.Adam(parameters, lr=lr, betas=(first, second), fused=True)

    def factor(self, progress: float) -> float:
        """Of the learning rate, at this share of the training (0..1)."""
        end = self.final_lr / self.lr
        if self.schedule == "linear":
            return end + (1 - end) * max(0.0, 1.0 - progress)
        if self.schedule == "cosine":
            return end + (1 - end) * falling(progress)
        return 1.0

    def betas_at(self, progress: float, every: int | None = None) -> tuple[float, float] | None:
        """Adam's at this share of the training; None where they stay."""
        if self.final_betas is None:
            return None
        left = falling(progress)
        betas = [end + (begin - end) * left for begin, end in zip(self.betas, self.final_betas, strict=True)]
        return self._powers((betas[0], betas[1]), lazy_share(every))

    @staticmethod
    def _powers(betas: tuple[float, float], power: float) -> tuple[float, float]:
        return betas[0] ** power, betas[1] ** power

    @model_validator(mode="after")
    def _only_adam_has_moments_that_move(self) -> "Player":
        if self.final_betas and self.optimizer != "adam":
            raise ValueError(f"final_betas are Adam's, and optimizer is {self.optimizer!r}")
        return self


def lazy_share(every: int | None) -> float:
    return 1.0 if every is None else every / (every + 1)


def falling(progress: float) -> float:
    """From 1 to 0 by half a cosine."""
    return (1 + cos(pi * min(progress, 1.0))) / 2


class Ema(Part):
    """The average of the generator's weights that samples are drawn from."""

    half_life: float = Field(
        default=10_000, ge=0, description="examples until a weight counts half; 0 means no averaging"
    )
    ramp: float | None = Field(
        default=0.05, gt=0, description="the half-life is at most this share of the examples seen; null means no ramp"
    )


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
    passes: int = Field(
        default=1, ge=1, description="parts that a turn's batch is taken in, one after another, to save memory"
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


class Lazy(Part):
    """A penalty on a player that need not come with every step."""

    weight: float = Field(default=10.0, gt=0)
    every: int = Field(
        default=1, ge=1, description="steps between penalties, which are scaled up by it; 1 adds it to the loss"
    )


class R1(Lazy):
    """Penalty γ/2 · E[‖∇D(x)‖²] at real samples (1801.04406)."""

    weight: float = Field(default=10.0, gt=0, description="γ")
    final_weight: float | None = Field(
        default=None, ge=0, description="γ at the end of the training, reached by a cosine; null: it stays"
    )

    def at(self, progress: float) -> float:
        """γ at this share of the training."""
        if self.final_weight is None:
            return self.weight
        return self.final_weight + (self.weight - self.final_weight) * falling(progress)


class R2(R1):
    """Penalty γ/2 · E[‖∇D(x)‖²] at fakes (1801.04406)."""


class GradientPenalty(Lazy):
    """λ · E[(‖∇D(x)‖ - 1)²] between reals and fakes (WGAN-GP, 1704.00028)."""

    weight: float = Field(default=10.0, gt=0, description="λ")
    drift: float = Field(default=0.0, ge=0, description="of E[D(x)²] at reals, which keeps logits near 0 (1710.10196)")


class Dragan(Lazy):
    """λ · E[(‖∇D(x + δ)‖ - 1)²] around reals (1705.07215)."""

    weight: float = Field(default=10.0, gt=0, description="λ")
    spread: float = Field(default=0.5, gt=0, description="of the noise δ, in deviations of the real data")


class Orthogonal(Lazy):
    """β · Σ ‖W Wᵀ ⊙ (1 - I)‖² over the discriminator's weights (BigGAN's form, 1809.11096)."""

    weight: float = Field(default=1e-4, gt=0, description="β")


class Consistency(Lazy):
    """λ · E[(D(x) - D(T(x)))²], T a flip and a shift of reals (1910.12027)."""

    weight: float = Field(default=10.0, gt=0, description="λ")
    shift: float = Field(default=0.125, ge=0, le=0.5, description="largest, as a share of the picture")


class LeCam(Part):
    """λ · E[(D(x) - α_F)² + (D(G(z)) - α_R)²], α the running means of the other side's logits (2104.03310)."""

    weight: float = Field(default=0.3, gt=0, description="λ")
    decay: float = Field(default=0.99, ge=0, lt=1, description="of the running means, per turn")


class PathLength(Lazy):
    """λ · E[(‖Jᵀy‖ - a)²] on the generator, J of samples by latents, y noise, a the running mean (1912.04958).

    By the latents z themselves: the families here have no mapping network.
    """

    weight: float = Field(default=2.0, gt=0, description="λ")
    every: int = Field(
        default=4, ge=1, description="steps between penalties, which are scaled up by it; 1 adds it to the loss"
    )
    decay: float = Field(default=0.99, ge=0, lt=1, description="of the running mean, which begins at 0, per penalty")
    share: float = Field(default=0.5, gt=0, le=1, description="of each group of samples; at least one counts")


class Penalties(Part):
    """On the discriminator, and the path length on the generator."""

    r1: R1 | None = Field(default=None, description="null means none")
    r2: R2 | None = Field(default=None, description="null means none")
    gradient_penalty: GradientPenalty | None = Field(default=None, description="WGAN-GP's; null means none")
    dragan: Dragan | None = Field(default=None, description="null means none")
    orthogonal: Orthogonal | None = Field(default=None, description="null means none")
    consistency: Consistency | None = Field(default=None, description="null means none")
    lecam: LeCam | None = Field(default=None, description="null means none")
    path_length: PathLength | None = Field(default=None, description="on the generator; null means none")

    @property
    def per_sample(self) -> list[tuple[str, str]]:
        """(player, name) of those asked for that are gradients at single samples."""
        slopes = {"discriminator": ("r1", "r2", "gradient_penalty", "dragan"), "generator": ("path_length",)}
        return [(player, name) for player, names in slopes.items() for name in names if getattr(self, name)]


class FeatureMatching(Part):
    """The generator matches the mean of the discriminator's features (Salimans et al., 1606.03498)."""

    weight: float = Field(default=1.0, gt=0)
    adversarial: bool = Field(default=False, description="keep the adversarial loss beside it")


class HistoricalAveraging(Part):
    """Each player pays for the distance of its weights to their mean over the training (1606.03498)."""

    weight: float = Field(default=1.0, gt=0)


class InstanceNoise(Part):
    """Noise on all that the discriminator sees (1610.04490)."""

    deviation: float = Field(default=0.1, gt=0, description="at the start, in units of -1..1")
    until: float = Field(default=1.0, gt=0, le=1, description="share of the training after which it is gone")

    def at(self, progress: float) -> float:
        return self.deviation * max(0.0, 1 - progress / self.until)


class Stabilisers(Part):
    """null means none."""

    label_smoothing: float | None = Field(
        default=None, gt=0.5, lt=1, description="target for reals, 0.9 as a rule; fakes are never smoothed (1606.03498)"
    )
    feature_matching: FeatureMatching | None = None
    historical_averaging: HistoricalAveraging | None = None
    instance_noise: InstanceNoise | None = None


class DiffAugment(Part):
    """The same differentiable changes on reals and fakes (2006.10738)."""

    colour: bool = Field(default=True, description="brightness ±0.5, saturation 0..2, contrast 0.5..1.5")
    translation: float = Field(default=0.125, ge=0, le=0.5, description="share of the picture")
    cutout: float = Field(default=0.5, ge=0, le=1, description="side of the hole, as a share of the picture")


class Ada(Part):
    """Augmentations whose probability follows overfitting (2006.06676), without its wavelet filters."""

    target: float = Field(default=0.6, gt=0, lt=1, description="of the mean sign of D at reals")
    every: int = Field(default=4, ge=1, description="steps between changes of the probability")
    ramp: float = Field(default=500_000, gt=0, description="examples in which the probability can go from 0 to 1")
    initial: float = Field(default=0.0, ge=0, le=1, description="probability at the start")


class Augment(Part):
    """Of what the discriminator sees; null means none."""

    diffaugment: DiffAugment | None = None
    ada: Ada | None = None
    flips: bool = Field(default=False, description="real pictures are mirrored with probability 1/2")

    @model_validator(mode="after")
    def _one_of_them(self) -> "Augment":
        if self.diffaugment and self.ada:
            raise ValueError("augment takes diffaugment or ada, not both")
        return self
