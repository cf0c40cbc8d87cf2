"""May a checkpoint go on with these settings and these data?"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

MUST_AGREE = ("family", "params", "data", "inputs", "batch_size", "group", "seed", "precision")


class WrongCheckpoint(ValueError):
    """A checkpoint belongs to another training; the message names what differs."""


class DataChanged(WrongCheckpoint):
    """A checkpoint was trained on other examples than those that are there now."""


def check_compatible(folder: Path, saved: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Raise WrongCheckpoint, or DataChanged, that names the first thing in which a checkpoint's progress differs."""
    for name in MUST_AGREE:
        if saved.get(name) != own[name]:
            kind = DataChanged if name == "data" else WrongCheckpoint
            raise kind(f"{folder} was trained with {name} {saved.get(name)!r}, not {own[name]!r}")
