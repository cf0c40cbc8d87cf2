"""A grid: a picture of some samples, side by side."""

from math import ceil, sqrt
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image


def save_grid(samples: np.ndarray, path: Path, *, columns: int | None = None) -> None:
    """Save uint8 [n, 1 or 3, height, width] as a PNG; columns: None makes it about square. Vectors are plotted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if samples.dtype != np.uint8:
        return scatter(samples, path)
    tiled = tile(samples, columns or ceil(sqrt(len(samples))))
    Image.fromarray(tiled[:, :, 0] if tiled.shape[2] == 1 else tiled).save(path)


def scatter(samples: np.ndarray, path: Path) -> None:
    """Plot the first two numbers of float [n, numbers, 1, 1] as a PNG."""
    figure = Figure(figsize=(4, 4), layout="constrained")
    axes = figure.add_subplot(aspect="equal")
    axes.scatter(samples[:, 0, 0, 0], samples[:, -1 if samples.shape[1] == 1 else 1, 0, 0], s=4)
    FigureCanvasAgg(figure).print_png(path)


def tile(samples: np.ndarray, columns: int) -> np.ndarray:
    """Tile [n, channels, height, width] -> [rows · height, columns · width, channels]; what is left over is black."""
    count, channels, height, width = samples.shape
    if channels not in (1, 3):
        raise ValueError(f"a grid shows samples of 1 or 3 channels, not {channels}")
    rows = ceil(count / columns)
    full = np.zeros((rows * columns, channels, height, width), np.uint8)
    full[:count] = samples
    cells = full.reshape(rows, columns, channels, height, width).transpose(0, 3, 1, 4, 2)
    return cells.reshape(rows * height, columns * width, channels)
