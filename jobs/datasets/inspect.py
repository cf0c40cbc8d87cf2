"""What a job would train on, before there is a job: the source is prepared as a worker does, into the same cache."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from jobs.datasets.find import Report
from jobs.datasets.prepare import prepare
from jobs.specs.spec import Data
from trainers.data.packed import PackedData
from trainers.monitoring.grids import save_grid

SHOWN = 64  # pictures of the contact sheet


def inspect(data: Data, home: Path, sheet: Path, report: Report) -> dict[str, Any]:
    """Return the account of a source as plain JSON, and draw the contact sheet `sheet`. Raises BadData."""
    packed = prepare(data, home / "data", report, processes=len(os.sched_getaffinity(0)))
    samples = packed.samples[chosen(packed, SHOWN)]
    save_grid(samples, sheet)
    channels, height, width = packed.shape
    shape = {"channels": channels, "height": height, "width": width, "dtype": packed.dtype}
    return {**packed.account.plain(), **shape, "contact_sheet": str(sheet)}


def chosen(packed: PackedData, count: int) -> np.ndarray:
    """Return which pictures a sheet of `count` shows: spread over the set, or over each class, sorted by class."""
    if packed.labels is None or packed.classes is None:
        return _spread(np.arange(packed.count), count)
    each = max(1, count // packed.classes)
    classes = _spread(np.arange(packed.classes), count)
    return np.concatenate([_spread(np.flatnonzero(packed.labels == label), each) for label in classes])


def _spread(numbers: np.ndarray, count: int) -> np.ndarray:
    return numbers[np.unique(np.linspace(0, len(numbers) - 1, min(count, len(numbers))).astype(int))]
