"""A packed data set: a folder that training maps into memory.

meta.json      written last, atomically: a folder without it is not a data set
samples.npy    [count, channels, height, width], uint8 (0..255) or float32 (-1..1)
labels.npy     [count] int64, only where the source had labels
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from trainers.data.account import Account
from trainers.data.classes import Label

VERSION = 1
META, SAMPLES, LABELS = "meta.json", "samples.npy", "labels.npy"
DTYPES = ("uint8", "float32")


class DamagedData(ValueError):
    """A packed data set is incomplete or does not agree with its meta.json."""

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(f"{folder} is not a whole packed data set: {reason}")


@dataclass(frozen=True, kw_only=True)
class PackedData:
    folder: Path
    count: int
    shape: tuple[int, int, int]  # channels, height, width
    dtype: str  # uint8 | float32
    classes: int | None  # None: no labels
    class_names: tuple[str, ...] | None
    class_labels: tuple[Label, ...] | None = None  # of each class, as the source wrote it; None: none, or not kept
    digest: str  # sha256 of shape, dtype, samples, labels and class names

    @cached_property
    def samples(self) -> np.ndarray:
        """Return the samples: [count, channels, height, width], mapped read-only."""
        return np.load(self.folder / SAMPLES, mmap_mode="r", allow_pickle=False)

    @cached_property
    def labels(self) -> np.ndarray | None:
        """Return the labels: [count] int64, mapped read-only; None without labels."""
        if self.classes is None:
            return None
        return np.load(self.folder / LABELS, mmap_mode="r", allow_pickle=False)

    @cached_property
    def account(self) -> Account:
        """Return what became of the source's pictures."""
        return Account.of_meta(_read_meta(self.folder))


def open_packed(folder: Path) -> PackedData:
    """Return the data set in `folder`; DamagedData if a file is missing, cut short or of another shape."""
    folder = Path(folder)
    data = _from_meta(folder, _read_meta(folder))
    expected = (data.count, *data.shape)
    _check_array(folder / SAMPLES, expected, data.dtype)
    if data.classes is not None:
        _check_array(folder / LABELS, (data.count,), "int64")
    return data


def verify(data: PackedData) -> None:
    """Read every byte; DamagedData if the digest is another than meta.json's."""
    if (found := content_digest(data.folder, data.shape, data.dtype, data.class_names)) != data.digest:
        raise DamagedData(data.folder, f"its content has sha256 {found}, meta.json says {data.digest}")


def content_digest(folder: Path, shape: tuple[int, ...], dtype: str, class_names: tuple[str, ...] | None) -> str:
    """Return the sha256 of a set: the same pictures and labels give the same, wherever they came from."""
    head = json.dumps([VERSION, list(shape), dtype, class_names and list(class_names)])
    digest = hashlib.sha256(head.encode())
    for name in (SAMPLES, LABELS):
        if (folder / name).exists():
            with open(folder / name, "rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _read_meta(folder: Path) -> dict[str, Any]:
    try:
        meta = json.loads((folder / META).read_text("utf-8"))
    except FileNotFoundError:
        raise DamagedData(folder, f"it has no {META}, which is written last") from None
    except ValueError as error:
        raise DamagedData(folder, f"{META} is not JSON: {error}") from None
    if not isinstance(meta, dict) or meta.get("version") != VERSION:
        raise DamagedData(folder, f"{META} is not of version {VERSION}")
    return meta


def _from_meta(folder: Path, meta: dict[str, Any]) -> PackedData:
    try:
        channels, height, width = (int(n) for n in meta["shape"])
        return PackedData(
            folder=folder,
            count=int(meta["count"]),
            shape=(channels, height, width),
            dtype=str(meta["dtype"]),
            classes=meta["classes"],
            class_names=tuple(meta["class_names"]) if meta["class_names"] is not None else None,
            class_labels=tuple(meta["class_labels"]) if meta.get("class_labels") is not None else None,
            digest=str(meta["digest"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedData(folder, f"{META} lacks or misstates {error}") from None


def _check_array(path: Path, shape: tuple[int, ...], dtype: str) -> None:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise DamagedData(path.parent, f"{path.name} is missing") from None
    except (ValueError, OSError) as error:
        raise DamagedData(path.parent, f"{path.name}: {error}") from None
    if array.shape != shape or array.dtype != np.dtype(dtype):
        raise DamagedData(path.parent, f"{path.name} is {array.dtype}{array.shape}, not {dtype}{shape}")
