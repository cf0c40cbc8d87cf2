"""The average of a network's weights (Yazıcı et al., 1806.04498), by half-life in examples, with a ramp."""

import copy

import torch
from torch import Tensor, nn

from trainers.config import Ema
from trainers.layers.grouped import running_statistics


class Average:
    """Weights and running statistics are averaged; every other buffer is copied."""

    def __init__(self, source: nn.Module, settings: Ema) -> None:
        self.network = copy.deepcopy(source).requires_grad_(False)
        self._settings = settings
        self._average, self._source = _averaged(self.network), _averaged(source)
        self._copied, self._copied_from = _copied(self.network), _copied(source)

    @torch.no_grad()
    def update(self, step: int, examples: int, new: int) -> None:
        """Follow the source after a training step. step: its number; examples: seen so far, of which `new` in this step."""
        keep = 0.0 if step < self._settings.start else decay(self._settings, examples, new)
        torch._foreach_lerp_(self._average, self._source, 1 - keep)
        if self._copied:
            torch._foreach_copy_(self._copied, self._copied_from)


def decay(settings: Ema, examples: int, new: int) -> float:
    """Return how much of the old average stays (0..1)."""
    half_life = settings.half_life
    if settings.ramp is not None:
        half_life = min(half_life, settings.ramp * examples)
    return 0.5 ** (new / half_life) if half_life else 0.0


def _averaged(network: nn.Module) -> list[Tensor]:
    return [*(p.data for p in network.parameters()), *(buffer for _, buffer in running_statistics(network))]


def _copied(network: nn.Module) -> list[Tensor]:
    statistics = {name for name, _ in running_statistics(network)}
    return [buffer for name, buffer in network.named_buffers() if name not in statistics]
