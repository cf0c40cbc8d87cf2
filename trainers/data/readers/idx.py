"""IDX files, the format of MNIST and its kin: a pair of pictures and labels, gzipped or not."""

import gzip
import math
import re
import struct
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from trainers.data.readers.arrays import Pictures, as_pictures
from trainers.data.readers.sources import BadSource, Item, Source, choose_split

NAME = re.compile(r"(?P<stem>.*?)[-_.]?(?P<what>images|labels)[-_.]idx\d[-_](u?byte|short|int|float|double)(\.gz)?$")
TYPES = {8: "u1", 9: ">i1", 0xB: ">i2", 0xC: ">i4", 0xD: ">f4", 0xE: ">f8"}  # by the third byte of a file
SPLITS = {"t10k": "test"}  # what MNIST calls its test part


def holds_idx(path: Path) -> bool:
    return bool(_parts(path))


def idx_source(path: Path, split: str | None) -> Source:
    """Open `path`, a folder of IDX files, or the file of pictures itself (its labels are looked for beside it)."""
    parts = _parts(path)
    found = {name: name for name, files in parts.items() if "images" in files}
    files = parts[choose_split(split, found, path)]
    pictures = _pictures(files["images"])
    labels = _labels(files["labels"], len(pictures)) if "labels" in files else None
    return Source(
        name=path.name,
        count=len(pictures),
        items=lambda: _items(pictures, labels),
        labelled=labels is not None,
    )


def _parts(path: Path) -> dict[str, dict[str, Path]]:
    """Return {split: {"images": file, "labels": file}}."""
    parts: dict[str, dict[str, Path]] = {}
    for file in sorted(path.iterdir() if path.is_dir() else path.parent.iterdir()):
        if match := NAME.match(file.name):
            parts.setdefault(SPLITS.get(match["stem"], match["stem"] or "train"), {})[match["what"]] = file
    if path.is_dir():
        return parts
    return {name: files for name, files in parts.items() if files.get("images") == path}


def _items(pictures: Pictures, labels: np.ndarray | None) -> Iterator[Item]:
    for index in range(len(pictures)):
        label = None if labels is None else int(labels[index])
        yield Item(name=str(index), label=label, read=partial(pictures.__getitem__, index))


def _pictures(file: Path) -> Pictures:
    array = read_idx(file)
    if array.ndim not in (3, 4):
        raise BadSource(f"{file} holds arrays of {array.ndim} dimensions; pictures have 3 (or 4 with channels)")
    return as_pictures(array.astype(array.dtype.newbyteorder("="), copy=False), str(file))


def _labels(file: Path, count: int) -> np.ndarray:
    labels = read_idx(file)
    if labels.dtype.kind == "f" or (labels.size and labels.min() < 0):
        raise BadSource(f"{file} holds labels of {labels.dtype}; wanted integers from 0")
    if labels.shape != (count,):
        raise BadSource(f"{file} holds {labels.shape} labels for {count} pictures")
    return labels


def read_idx(file: Path) -> np.ndarray:
    """Return the array in an IDX file, of any of its types; BadSource if it is cut short, or none."""
    raw = _read(file)
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in TYPES:
        raise BadSource(f"{file} is not an IDX file: it begins with {raw[:4].hex(' ') or 'nothing'}")
    kind, dims = np.dtype(TYPES[raw[2]]), raw[3]
    if len(raw) < 4 + 4 * dims:
        raise BadSource(f"{file} is cut short: {len(raw)} bytes, and its head alone has {4 + 4 * dims}")
    shape = struct.unpack_from(f">{dims}I", raw, 4)
    size = len(raw) - 4 - 4 * dims
    if size != math.prod(shape) * kind.itemsize:
        wanted = f"{'x'.join(map(str, shape))} of {kind.itemsize} byte{'s' * (kind.itemsize > 1)}"
        raise BadSource(f"{file} is cut short or too long: {size} bytes for {wanted}")
    return np.frombuffer(raw, kind, offset=4 + 4 * dims).reshape(shape)


def _read(file: Path) -> bytes:
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise BadSource(f"{file} cannot be read: {error.strerror}") from None
    if raw[:2] != b"\x1f\x8b":
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise BadSource(f"{file} is a damaged gzip file: {error}") from None
