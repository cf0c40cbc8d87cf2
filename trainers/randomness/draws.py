"""The random draws of one optimizer step, per group of samples."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from trainers.randomness.groups import Share
from trainers.randomness.keys import numpy_generator, torch_generator


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Every draw has a purpose, and is made once per optimizer step: the same purpose gives the same values again."""

    seed: int
    step: int
    phase: str  # with its number, as a phase may take several optimizer steps in a training step
    share: Share
    device: torch.device
    dtype: torch.dtype = torch.float32
    progress: float = 0.0  # share of the training that is done, for weights that change with it

    @property
    def count(self) -> int:
        """Count the samples of this rank."""
        return len(self.share.samples)

    def normal(self, purpose: str, *shape: int) -> torch.Tensor:
        """Return [samples of this rank, *shape], N(0, 1)."""
        return self._per_group(purpose, shape, normal=True)

    def uniform(self, purpose: str, *shape: int) -> torch.Tensor:
        """Return [samples of this rank, *shape], in [0, 1)."""
        return self._per_group(purpose, shape, normal=False)

    def integers(self, purpose: str, high: int) -> torch.Tensor:
        """Return [samples of this rank] int64, in [0, high)."""
        groups = [numpy_generator(*self._key(purpose, g)).integers(high, size=self.share.group) for g in self._groups]
        return torch.from_numpy(np.concatenate(groups)).to(self.device)

    def first_of_groups(self, count: int) -> "Draws":
        """Return those for so many samples of each group."""
        return replace(self, share=self.share.first_of_groups(count))

    @property
    def _groups(self) -> range:
        return self.share.groups

    def _key(self, purpose: str, group: int) -> tuple[int | str, ...]:
        return (self.seed, self.step, self.phase, purpose, group)

    def _per_group(self, purpose: str, shape: tuple[int, ...], *, normal: bool) -> torch.Tensor:
        draw = self._on_cpu if self.device.type == "cpu" else self._on_device
        size = (self.share.group, *shape)
        return torch.cat([draw(self._key(purpose, group), size, normal) for group in self._groups])

    def _on_cpu(self, parts: tuple[int | str, ...], size: tuple[int, ...], normal: bool) -> torch.Tensor:
        generator = numpy_generator(*parts)
        drawn = generator.standard_normal(size, np.float32) if normal else generator.random(size, np.float32)
        return torch.from_numpy(drawn).to(self.dtype)

    def _on_device(self, parts: tuple[int | str, ...], size: tuple[int, ...], normal: bool) -> torch.Tensor:
        draw = torch.randn if normal else torch.rand
        return draw(size, generator=torch_generator(self.device, *parts), device=self.device, dtype=self.dtype)
