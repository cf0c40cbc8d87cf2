"""What the packer reads: a source is a count and its items in a fixed order, each read only when its turn comes."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from trainers.data.shapes import ProceduralSource

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
    label: int | None
    read: Callable[[], np.ndarray]  # [height, width, channels], uint8 or float32 in -1..1; UnreadableImage


@dataclass(frozen=True, kw_only=True)
class Source:
    name: str
    count: int
    items: Callable[[], Iterator[Item]]
    class_names: tuple[str, ...] | None  # None: no labels
    ignored: tuple[tuple[str, str], ...] = field(default=())  # (name, reason) of what is no picture


def ready(picture: np.ndarray) -> Callable[[], np.ndarray]:
    """Return what an item reads whose picture is at hand."""
    return lambda: picture


def procedural(source: ProceduralSource, resolution: int | None) -> Source:
    def items() -> Iterator[Item]:
        for index in range(source.count):
            picture, label = source.picture(index, resolution)
            yield Item(name=str(index), label=label, read=ready(picture))

    return Source(name=source.name, count=source.count, items=items, class_names=source.class_names)


def natural(name: str | PurePosixPath) -> list[tuple[int, int, str]]:
    """Sort key in which 2 stands before 10."""
    parts = re.findall(r"\d+|\D+", str(name))
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts]


def choose_split(split: str | None, found: dict[str, str], where: Path) -> str:
    """Return the asked-for one of the splits found; `train` where none is asked for; BadSource names the choices."""
    wanted = split or "train"
    if wanted in found:
        return found[wanted]
    if split is None and len(found) == 1:
        return next(iter(found.values()))
    raise BadSource(f"{where} has no split {wanted!r}; it has {', '.join(sorted(found)) or 'none'}")


def files_of_split(where: Path, suffix: str, split: str | None) -> list[Path]:
    """Return the files of this kind of one split, in natural order. A file's split is the first word of its name (train-00003-of-00100)
    or the folder that it lies in; where no name says so, all are of `train`. BadSource names the choices."""
    if where.is_file():
        return [where]
    found: dict[str, list[Path]] = {}
    for path in sorted(where.rglob(f"*{suffix}"), key=lambda path: natural(path.relative_to(where).as_posix())):
        words = (re.split(r"[-_.]", path.name.lower())[0], path.parent.name.lower())
        found.setdefault(next((SPLITS[word] for word in words if word in SPLITS), "train"), []).append(path)
    return found[choose_split(split, {name: name for name in found}, where)]
