"""The average of a network's weights (Yazıcı et al., 1806.04498), by half-life in examples
that the generator made, with a ramp."""

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
    def update(self, step: int, progress: float, steps_so_far: float, made: int) -> None:
        """Follow the source after a training step.

        step: its number; progress: share of the training that is done (0..1); steps_so_far: as many steps like this one
        would have come so far; made: examples that the source was trained on in this step. 0: it was not trained.
        """
        if not made:
            return
        keep = 0.0 if step < self._settings.start else decay(self._settings, progress, steps_so_far, made)
        torch._foreach_lerp_(self._average, self._source, 1 - keep)
        if self._copied:
            torch._foreach_copy_(self._copied, self._copied_from)


def decay(settings: Ema, progress: float, steps_so_far: float, made: int) -> float:
    """Return how much of the old average stays (0..1); see Average.update."""
    steps = settings.half_life_at(progress) / made
    if settings.ramp is not None:
        steps = min(steps, settings.ramp * steps_so_far)
    return 0.5 ** (1 / steps) if steps else 0.0


def _averaged(network: nn.Module) -> list[Tensor]:
    return [*(p.data for p in network.parameters()), *(buffer for _, buffer in running_statistics(network))]


def _copied(network: nn.Module) -> list[Tensor]:
    statistics = {name for name, _ in running_statistics(network)}
    return [buffer for name, buffer in network.named_buffers() if name not in statistics]
