"""IDX files, the format of MNIST and its kin: a pair of pictures and labels, gzipped or not."""

import gzip
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from trainers.data.sources import BadSource, Item, Source, choose_split, ready

NAME = re.compile(r"(?P<stem>.*?)[-_.]?(?P<what>images|labels)[-_.]idx\d[-_]ubyte(\.gz)?$")
SPLITS = {"t10k": "test"}  # what MNIST calls its test part


def holds_idx(path: Path) -> bool:
    return bool(_parts(path))


def idx_source(path: Path, split: str | None) -> Source:
    """`path` is a folder of IDX files, or the file of pictures itself (its labels are looked for beside it)."""
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
    """{split: {"images": file, "labels": file}}"""
    parts: dict[str, dict[str, Path]] = {}
    for file in sorted(path.iterdir() if path.is_dir() else path.parent.iterdir()):
        if match := NAME.match(file.name):
            parts.setdefault(SPLITS.get(match["stem"], match["stem"] or "train"), {})[match["what"]] = file
    if path.is_dir():
        return parts
    return {name: files for name, files in parts.items() if files.get("images") == path}


def _items(pictures: np.ndarray, labels: np.ndarray | None) -> Iterator[Item]:
    for index, picture in enumerate(pictures):
        label = None if labels is None else int(labels[index])
        yield Item(name=str(index), label=label, read=ready(picture))


def _pictures(file: Path) -> np.ndarray:
    array = read_idx(file)
    if array.ndim not in (3, 4):
        raise BadSource(f"{file} holds arrays of {array.ndim} dimensions; pictures have 3 (or 4 with channels)")
    return array[..., None] if array.ndim == 3 else array


def _labels(file: Path, count: int) -> np.ndarray:
    labels = read_idx(file)
    if labels.shape != (count,):
        raise BadSource(f"{file} holds {labels.shape} labels for {count} pictures")
    return labels


def read_idx(file: Path) -> np.ndarray:
    """Return the array in an IDX file of bytes; BadSource if it is cut short or of another type."""
    raw = _read(file)
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] != 8:
        raise BadSource(f"{file} is not an IDX file of bytes")
    dims = raw[3]
    shape = struct.unpack_from(f">{dims}I", raw, 4)
    body = np.frombuffer(raw, np.uint8, offset=4 + 4 * dims)
    if body.size != np.prod(shape):
        raise BadSource(f"{file} is cut short or too long: {body.size} bytes for {'x'.join(map(str, shape))}")
    return body.reshape(shape)


def _read(file: Path) -> bytes:
    raw = file.read_bytes()
    if raw[:2] != b"\x1f\x8b":
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError) as error:
        raise BadSource(f"{file} is a damaged gzip file: {error}") from None
