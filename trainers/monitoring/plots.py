"""Curves of a training, from its stats."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

PANELS = (("loss/", "loss"), ("logits/", "logits"), ("grad_norm/", "gradient norm"))


def loss_curves(stats: Path, png: Path) -> None:
    """Draw `stats` (one tick a line, as JSON) by examples into `png`."""
    ticks = [json.loads(line) for line in stats.read_text("utf-8").splitlines() if line]
    figure = Figure(figsize=(8, 9), layout="constrained")
    for row, (prefix, title) in enumerate(PANELS, start=1):
        _draw(figure.add_subplot(len(PANELS), 1, row), ticks, prefix, title)
    FigureCanvasAgg(figure).print_png(png)


def _draw(axes: Axes, ticks: list[dict[str, Any]], prefix: str, title: str) -> None:
    for name in _names(ticks, prefix):
        points = [(tick["examples"], tick["stats"].get(name)) for tick in ticks]
        points = [point for point in points if point[1] is not None]
        axes.plot(*zip(*points, strict=True), label=name.removeprefix(prefix), linewidth=1)
    axes.set(xlabel="examples", ylabel=title)
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend()


def _names(ticks: Iterable[dict[str, Any]], prefix: str) -> list[str]:
    return sorted({name for tick in ticks for name in tick["stats"] if name.startswith(prefix)})
