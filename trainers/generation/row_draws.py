"""Draws of sampling: those of sample i depend on (seed, i) and on what they are for, never on the block it is made in."""

from dataclasses import dataclass
from math import prod

import torch

from trainers.generation.latents import uniforms


@dataclass(frozen=True, kw_only=True)
class RowDraws:
    """The draw source of the samples of some rows; see trainers.randomness.source."""

    seed: int
    rows: range  # indices of the samples
    device: torch.device
    dtype: torch.dtype = torch.float32

    @property
    def count(self) -> int:
        return len(self.rows)

    def normal(self, purpose: str, *shape: int) -> torch.Tensor:
        """Return [count, *shape], N(0, 1), by inverse CDF."""
        return self._placed(torch.special.ndtri(self._uniform(purpose, shape)))

    def uniform(self, purpose: str, *shape: int) -> torch.Tensor:
        """Return [count, *shape], in (0, 1)."""
        return self._placed(self._uniform(purpose, shape))

    def _uniform(self, purpose: str, shape: tuple[int, ...]) -> torch.Tensor:
        drawn = uniforms(self.rows, prod(shape), self.seed, "row", purpose)
        return torch.from_numpy(drawn).reshape(self.count, *shape)

    def _placed(self, drawn: torch.Tensor) -> torch.Tensor:
        return drawn.to(self.device, self.dtype)
