"""What the packer reads: a source is a count and its items in a fixed order, each read only when its turn comes."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from trainers.data.classes import Label
from trainers.data.readers.shapes import ProceduralSource

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
}


class BadSource(ValueError):
    """The source as a whole cannot be packed; the message says what it is and what would do."""


@dataclass(frozen=True, kw_only=True)
class Item:
    name: str
    label: Label | None  # as the source wrote it
    # An encoded picture, or [height, width, channels] of uint8 or float32 in -1..1; UnreadableImage.
    read: Callable[[], bytes | np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Source:
    name: str
    count: int
    items: Callable[[], Iterator[Item]]
    labelled: bool
    told: Mapping[Label, str] = field(default_factory=dict)  # what the source calls its labels
    ignored: tuple[tuple[str, str], ...] = field(default=())  # (name, reason) of what is no picture
    encoded: bool = False  # its items are encoded pictures, which other processes may decode


def ready(picture: np.ndarray) -> Callable[[], np.ndarray]:
    """Return what an item reads whose picture is at hand."""
    return lambda: picture


def procedural(source: ProceduralSource, resolution: int | None) -> Source:
    def items() -> Iterator[Item]:
        for index in range(source.count):
            picture, label = source.picture(index, resolution)
            yield Item(name=str(index), label=label, read=ready(picture))

    told: dict[Label, str] = dict(enumerate(source.class_names or ()))
    return Source(name=source.name, count=source.count, items=items, labelled=bool(told), told=told)


def choose_split(split: str | None, found: dict[str, str], where: Path) -> str:
    """Return the asked-for one of the splits found; `train` where none is asked for; BadSource names the choices."""
    wanted = split or "train"
    if wanted in found:
        return found[wanted]
    if split is None and len(found) == 1:
        return next(iter(found.values()))
    raise BadSource(f"{where} has no split {wanted!r}; it has {', '.join(sorted(found)) or 'none'}")
