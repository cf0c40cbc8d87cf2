"""Adaptive augmentation: Karras et al., 2006.06676."""

from collections.abc import Callable
from math import pi
from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from trainers.objectives.augmentation import Augmentation, State
from trainers.parallel import mean_over_ranks
from trainers.randomness.draws import Draws

if TYPE_CHECKING:
    from trainers.gan.turn import Turn


class Ada(Augmentation):
    """Augmentations whose probability follows overfitting (2006.06676), without its wavelet filters."""

    whole_batch: ClassVar[bool] = True

    target: float = Field(default=0.6, gt=0, lt=1, description="of the mean sign of D at reals")
    every: int = Field(default=4, ge=1, description="steps between changes of the probability")
    ramp: float = Field(default=500_000, gt=0, description="examples in which the probability can go from 0 to 1")
    initial: float = Field(default=0.0, ge=0, le=1, description="probability at the start")

    def state(self) -> State:
        return {
            "ada_p": torch.full((), float(self.initial)),
            "ada_signs": torch.zeros(()),
            "ada_turns": torch.zeros(()),
        }

    def apply(self, samples: Tensor, draws: Draws, purpose: str, state: State) -> Tensor:
        return changed(samples, state["ada_p"], draws, purpose)

    def observe(self, turn: "Turn") -> None:
        self.adapt(turn.real.logits.detach(), turn.draws, turn.state)
        turn.stats["augment/p"] = turn.state["ada_p"].clone()

    @torch.no_grad()
    def adapt(self, real: Tensor, draws: Draws, state: State) -> None:
        """Raise the probability while the discriminator is surer of reals than `target`, and lower it otherwise."""
        p, signs, turns = state["ada_p"], state["ada_signs"], state["ada_turns"]
        signs += mean_over_ranks(real.sign().mean())
        turns += 1
        if (draws.step + 1) % self.every == 0:
            direction = (signs / turns - self.target).sign()
            p += direction * turns * draws.share.batch_size / self.ramp
            p.clamp_(0, 1)
            signs.zero_()
            turns.zero_()


def changed(samples: Tensor, probability: Tensor, draws: Draws, purpose: str) -> Tensor:
    """Return the pictures after changes, each of which happens to each picture with the probability."""

    def drawn(name: str, neutral: float, change: Callable[[Tensor], Tensor]) -> Tensor:
        """Return [n]: the change of a uniform number, or the neutral value where it does not happen."""
        happens, value = draws.uniform(f"ada/{purpose}/{name}", 2).unbind(1)
        return torch.where(happens < probability, change(value), torch.full_like(value, neutral))

    return _recoloured(_warped(samples, _geometry(drawn)), drawn)


Drawn = Callable[[str, float, Callable[[Tensor], Tensor]], Tensor]


def _geometry(drawn: Drawn) -> Tensor:
    """Return [n, 2, 3] affine: flip, quarter turns, scale, stretch, turn, shift."""
    flip = drawn("flip", 1.0, lambda u: 1 - 2 * (u < 0.5).to(u.dtype))
    quarter = drawn("quarter", 0.0, lambda u: (u * 4).floor() * (pi / 2))
    turn = drawn("turn", 0.0, lambda u: (2 * u - 1) * pi) + quarter
    scale = drawn("scale", 1.0, lambda u: torch.exp2(0.2 * _normal(u)))
    stretch = drawn("stretch", 1.0, lambda u: torch.exp2(0.2 * _normal(u)))
    right = drawn("right", 0.0, lambda u: 0.25 * _normal(u))
    down = drawn("down", 0.0, lambda u: 0.25 * _normal(u))
    cos, sin = turn.cos(), turn.sin()
    first = torch.stack([flip * scale * stretch * cos, -scale * sin / stretch, right], 1)
    second = torch.stack([flip * scale * stretch * sin, scale * cos / stretch, down], 1)
    return torch.stack([first, second], 1)


def _normal(uniform: Tensor) -> Tensor:
    return torch.special.ndtri(uniform.clamp(1e-6, 1 - 1e-6))


def _warped(samples: Tensor, affine: Tensor) -> Tensor:
    grid = F.affine_grid(affine.to(samples.dtype), list(samples.shape), align_corners=False)
    return F.grid_sample(samples, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _recoloured(samples: Tensor, drawn: Drawn) -> Tensor:
    def each(values: Tensor) -> Tensor:
        return values[:, None, None, None]

    samples = samples + each(drawn("brightness", 0.0, lambda u: 0.2 * _normal(u)))
    samples = samples * each(drawn("contrast", 1.0, lambda u: torch.exp2(0.5 * _normal(u))))
    grey = samples.mean(1, keepdim=True)
    flip = each(drawn("luma", 1.0, lambda u: 1 - 2 * (u < 0.5).to(u.dtype)))
    saturation = each(drawn("saturation", 1.0, lambda u: torch.exp2(_normal(u))))
    return grey * flip + (samples - grey) * saturation
