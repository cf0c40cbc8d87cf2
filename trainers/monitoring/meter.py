"""Training scalars: they stay on the device, and are reduced over steps and ranks once per tick."""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from trainers.parallel import mean_over_ranks


class Meter:
    """Means since the last reading."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = defaultdict(int)

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Add detached scalars."""
        for name, value in values.items():
            if name not in self._sums:
                self._sums[name] = torch.zeros((), dtype=torch.float64, device=self._device)
            self._sums[name] += value
            self._counts[name] += 1

    def read(self) -> dict[str, float]:
        """Return means over steps and ranks, by name, and begin anew. Every rank must call it after the same steps."""
        names = sorted(self._sums)
        if not names:
            return {}
        means = mean_over_ranks(torch.stack([self._sums[name] / self._counts[name] for name in names]))
        self._sums.clear()
        self._counts.clear()
        return dict(zip(names, means.tolist(), strict=True))


class Clock:
    """Seconds of this process spent in each activity since the last reading (on a GPU: until it was launched)."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, activity: str) -> Iterator[None]:
        begun = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[activity] += time.perf_counter() - begun

    def read(self) -> dict[str, float]:
        seconds, self._seconds = dict(self._seconds), defaultdict(float)
        return seconds
