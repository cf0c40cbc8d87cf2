"""`shapes`: a labelled RGB data set that needs no file. Picture i depends on (seed, i) alone.

One bright figure (circle, square, triangle, cross, ring) of random place, size, turn and colour on a dark ground,
drawn from its signed distance, so that edges are smooth at any resolution.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

CLASS_NAMES = ("circle", "square", "triangle", "cross", "ring")
DEFAULT_RESOLUTION = 32


class ProceduralSource(Protocol):
    """A data set that is computed by index."""

    @property
    def name(self) -> str: ...
    @property
    def count(self) -> int: ...
    @property
    def class_names(self) -> tuple[str, ...] | None: ...
    def picture(self, index: int, resolution: int | None) -> tuple[np.ndarray, int]:
        """Return uint8 [height, width, channels] and its label."""
        ...


@dataclass(frozen=True, kw_only=True)
class Shapes:
    count: int = 10_000
    seed: int = 0
    name: str = "shapes"
    class_names: tuple[str, ...] = CLASS_NAMES

    def picture(self, index: int, resolution: int | None) -> tuple[np.ndarray, int]:
        size = resolution or DEFAULT_RESOLUTION
        random = np.random.Generator(np.random.Philox(key=[self.seed, index]))
        label = int(random.integers(len(CLASS_NAMES)))
        ground, colour = random.uniform(0, 50, 3), random.uniform(100, 255, 3)
        x, y, scale = _placed(size, random)
        inside = np.clip(DISTANCES[label](x, y) * scale * size / 2 + 0.5, 0, 1)[:, :, None]
        return (ground + inside * (colour - ground)).round().astype(np.uint8), label


def _placed(size: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """Return pixel centres in the figure's own frame, where it fills -1..1, and its half-width in half-pictures."""
    scale, turn = random.uniform(0.35, 0.6), random.uniform(0, 2 * np.pi)
    centre = random.uniform(scale - 0.95, 0.95 - scale, 2)
    axis = (2 * np.arange(size) + 1) / size - 1
    x, y = (axis[None, :] - centre[0]) / scale, (axis[:, None] - centre[1]) / scale
    return x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn), scale


# Distance to the outline, positive inside.
def _circle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 0.9 - np.hypot(x, y)


def _square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 0.7 - np.maximum(abs(x), abs(y))


def _triangle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 0.45 - np.maximum(y, abs(x) * np.sqrt(0.75) - y / 2)


def _cross(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    arms = np.minimum(abs(x), abs(y))
    return np.minimum(0.25 - arms, 0.9 - np.maximum(abs(x), abs(y)))


def _ring(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 0.2 - abs(np.hypot(x, y) - 0.7)


DISTANCES: tuple[Callable[[np.ndarray, np.ndarray], np.ndarray], ...] = (_circle, _square, _triangle, _cross, _ring)
