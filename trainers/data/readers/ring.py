"""`ring`: vectors of two numbers in eight small heaps on a circle, where it can be counted which ones a GAN finds.

As in Metz et al., 1611.02163, scaled into -1..1. Vector i depends on (seed, i) alone.
"""

from dataclasses import dataclass

import numpy as np

from trainers.data.readers.sources import BadSource

MODES = 8
RADIUS, DEVIATION = 0.8, 0.008  # of the circle and of a heap
CLOSE = 3  # deviations within which a sample belongs to a heap


@dataclass(frozen=True, kw_only=True)
class Ring:
    count: int = 10_000
    seed: int = 0
    name: str = "ring"
    class_names: tuple[str, ...] = tuple(str(mode) for mode in range(MODES))

    def picture(self, index: int, resolution: int | None) -> tuple[np.ndarray, int]:
        """Return float32 [1, 1, 2]: one pixel whose channels are the vector; BadSource for any resolution."""
        if resolution is not None:
            raise BadSource(f"resolution is {resolution}, and {self.name} holds vectors, which have none; leave it out")
        random = np.random.Generator(np.random.Philox(key=[self.seed, index]))
        label = int(random.integers(MODES))
        vector = centres()[label] + random.normal(0, DEVIATION, 2)
        return vector.astype(np.float32).reshape(1, 1, 2), label


def centres() -> np.ndarray:
    """Return [modes, 2]"""
    angles = 2 * np.pi * np.arange(MODES) / MODES
    return RADIUS * np.stack([np.cos(angles), np.sin(angles)], 1)


def found(samples: np.ndarray, *, close: float = CLOSE * DEVIATION) -> tuple[np.ndarray, float]:
    """Return how many of samples [n, 2, 1, 1] belong to each heap, and the share that belongs to any."""
    gaps = np.linalg.norm(samples.reshape(-1, 1, 2) - centres(), axis=2)
    nearest, inside = gaps.argmin(1), gaps.min(1) < close
    return np.bincount(nearest[inside], minlength=MODES), float(inside.mean())
