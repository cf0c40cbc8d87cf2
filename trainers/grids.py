"""A grid: a picture of some samples, side by side."""

from math import ceil, sqrt
from pathlib import Path

import numpy as np
from PIL import Image


def save_grid(samples: np.ndarray, path: Path, *, columns: int | None = None) -> None:
    """samples: uint8 [n, 1 or 3, height, width] -> a PNG; columns: None makes it about square."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tiled = tile(samples, columns or ceil(sqrt(len(samples))))
    Image.fromarray(tiled[:, :, 0] if tiled.shape[2] == 1 else tiled).save(path)


def tile(samples: np.ndarray, columns: int) -> np.ndarray:
    """[n, channels, height, width] -> [rows · height, columns · width, channels]; what is left over is black."""
    count, channels, height, width = samples.shape
    if channels not in (1, 3):
        raise ValueError(f"a grid shows samples of 1 or 3 channels, not {channels}")
    rows = ceil(count / columns)
    full = np.zeros((rows * columns, channels, height, width), np.uint8)
    full[:count] = samples
    cells = full.reshape(rows, columns, channels, height, width).transpose(0, 3, 1, 4, 2)
    return cells.reshape(rows * height, columns * width, channels)
