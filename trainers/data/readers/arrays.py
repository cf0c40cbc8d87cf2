"""Pictures that are arrays already: an .npz, an .npy (mapped, not read), or whatever a caller hands over.

Read are [n, height, width], [n, height, width, channels] and [n, channels, height, width] of uint8, uint16 (scaled to
8 bits) or floats in 0..1 or -1..1 (kept as float32 in -1..1). An array of four channels is laid on white.
"""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from trainers.data.readers.decode import UnreadableImage, wide_to_bytes
from trainers.data.readers.sources import BadSource, Item, Source, choose_split

IMAGE_NAMES = ("images", "x", "data", "arr_0")
LABEL_NAMES = ("labels", "y", "targets", "arr_1")
CHANNELS = (1, 3, 4)


def npz_source(path: Path, split: str | None) -> Source:
    images, labels = _load(path, split)
    pictures = as_pictures(images, str(path))
    if labels is not None:
        labels = _checked_labels(labels, len(pictures), path)
    return Source(
        name=path.name,
        count=len(pictures),
        items=lambda: _items(pictures, labels),
        labelled=labels is not None,
    )


def as_pictures(images: np.ndarray, what: str) -> np.ndarray:
    """Return [n, height, width, channels], uint8 or float32 in -1..1; BadSource names `what`."""
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or len(images) == 0:
        raise BadSource(f"{what}: pictures of shape {images.shape}; wanted [n, height, width] or with channels")
    if _channels_come_first(images.shape):
        images = images.transpose(0, 2, 3, 1)
    if images.shape[3] not in CHANNELS:
        raise BadSource(f"{what}: pictures of shape {images.shape} have no axis of 1, 3 or 4 channels")
    return _on_white(_as_bytes_or_floats(images, what))


def _channels_come_first(shape: tuple[int, ...]) -> bool:
    """Return whether axis 1 is that of the channels.

    Where both axes could be channels, as in pictures of 4x4, the other two of a square picture are equal.
    """
    return shape[1] in CHANNELS and (shape[3] not in CHANNELS or shape[2] == shape[3])


def _as_bytes_or_floats(images: np.ndarray, what: str) -> np.ndarray:
    if images.dtype == np.uint8:
        return images
    if images.dtype == np.bool_:
        return images.astype(np.uint8) * 255
    if images.dtype == np.uint16:
        return wide_to_bytes(images)
    low, high = _range(images)
    if images.dtype.kind == "f" and low >= 0 and high <= 1:
        return images.astype(np.float32) * 2 - 1
    if images.dtype.kind == "f" and low >= -1 and high <= 1:
        return images.astype(np.float32)
    if images.dtype.kind in "iu" and low >= 0 and high <= 255:
        return images.astype(np.uint8)
    wanted = "floats in 0..1 or -1..1" if images.dtype.kind == "f" else "integers in 0..255, or uint16"
    raise BadSource(
        f"{what}: {images.dtype} pixels in {low:g}..{high:g}; wanted {wanted}{_hint(images.dtype, low, high)}"
    )


def _range(images: np.ndarray) -> tuple[float, float]:
    """Return the least and the greatest that is finite: pictures with others are refused one by one, by their number."""
    if images.dtype.kind not in "iuf":
        return np.nan, np.nan
    if images.dtype.kind != "f":
        return float(images.min()), float(images.max())
    finite = np.isfinite(images)
    if not finite.any():
        return 0.0, 0.0
    return float(images.min(where=finite, initial=np.inf)), float(images.max(where=finite, initial=-np.inf))


def _hint(dtype: np.dtype, low: float, high: float) -> str:
    return "; divide them by 255, or save them as uint8" if dtype.kind == "f" and low >= 0 and 1 < high <= 255 else ""


def _on_white(images: np.ndarray) -> np.ndarray:
    if images.shape[3] != 4:
        return images
    if images.dtype != np.uint8:
        alpha = (images[..., 3:] + 1) / 2
        return (images[..., :3] * alpha + (1 - alpha)).astype(np.float32)
    alpha = images[..., 3:] / 255
    return (images[..., :3] * alpha + 255 * (1 - alpha)).round().astype(np.uint8)


def npy_source(path: Path) -> Source:
    with _explained(path):
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    pictures = as_pictures(images, str(path))
    return Source(name=path.name, count=len(pictures), items=lambda: _items(pictures, None), labelled=False)


def _load(path: Path, split: str | None) -> tuple[np.ndarray, np.ndarray | None]:
    with _explained(path), np.load(path, allow_pickle=False) as file:
        if isinstance(file, np.ndarray):
            raise BadSource(f"{path} is an .npy; give it that suffix")
        images, labels = _names(list(file.files), split, path)
        return file[images], file[labels] if labels else None


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except BadSource:
        raise
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise BadSource(f"{path} is damaged, or no file of numpy's: {error}") from None
        raise BadSource(
            f"{path} holds Python objects, which are not read (allow_pickle): they could run any code; save it as an "
            f"array of numbers, `np.stack(pictures)`"
        ) from None
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError) as error:
        raise BadSource(f"{path} is damaged: {error}") from None


def _names(names: list[str], split: str | None, path: Path) -> tuple[str, str | None]:
    suffixed = {name.split("_", 1)[1] for name in names if "_" in name and name.split("_", 1)[0] in IMAGE_NAMES}
    splits = {s: f"_{s}" for s in suffixed if not s.isdecimal()}
    end = choose_split(split, splits, path) if splits else ""
    images = [name + end for name in IMAGE_NAMES if name + end in names]
    labels = [name + end for name in LABEL_NAMES if name + end in names]
    if not images:
        raise BadSource(f"{path} holds {', '.join(names) or 'nothing'}; pictures are looked for as {IMAGE_NAMES}")
    return images[0], labels[0] if labels else None


def _checked_labels(labels: np.ndarray, count: int, path: Path) -> np.ndarray:
    labels = labels.reshape(-1)
    if labels.shape != (count,) or labels.dtype.kind not in "iuU" or (labels.dtype.kind != "U" and labels.min() < 0):
        raise BadSource(f"{path}: labels are {labels.dtype}{labels.shape}; wanted {count} integers from 0, or words")
    return labels


def _items(pictures: np.ndarray, labels: np.ndarray | None) -> Iterator[Item]:
    for index, picture in enumerate(pictures):
        label = None if labels is None else labels[index].item()
        yield Item(name=str(index), label=label, read=partial(_finite, picture))


def _finite(picture: np.ndarray) -> np.ndarray:
    if picture.dtype != np.uint8 and not np.isfinite(picture).all():
        raise UnreadableImage("has pixels that are not finite")
    return picture
