"""Pictures that are arrays already: an .npz or .npy, mapped where it is not compressed.

Read are [n, height, width], [n, height, width, channels] and [n, channels, height, width] of uint8, uint16 (scaled to
8 bits) or floats in 0..1 or -1..1 (kept as float32 in -1..1). An array of four channels is laid on white.
"""

import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from trainers.data.readers.decode import UnreadableImage, wide_to_bytes
from trainers.data.readers.sources import BadSource, Item, Source, choose_split

IMAGE_NAMES = ("images", "x", "data", "arr_0")
LABEL_NAMES = ("labels", "y", "targets", "arr_1")
CHANNELS = (1, 3, 4)
AT_ONCE = 1024  # pictures looked at for the range of all


def npz_source(path: Path, split: str | None) -> Source:
    """Return the source of an .npz; BadSource."""
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


@dataclass(frozen=True)
class Pictures:
    """Arrays as they lie in a file, each converted when its turn comes: a large file is never in memory as a whole."""

    stored: np.ndarray  # [n, height, width, channels], of any type that is read
    convert: Callable[[np.ndarray], np.ndarray]

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, index: int) -> np.ndarray:
        """Return [height, width, channels], uint8 or float32 in -1..1; UnreadableImage where it is not finite."""
        picture = self.stored[index]
        if picture.dtype.kind == "f" and not np.isfinite(picture).all():
            raise UnreadableImage("has pixels that are not finite")
        return _on_white(self.convert(picture))


def as_pictures(images: np.ndarray, what: str) -> Pictures:
    """Return [n, height, width] or [n, …, channels] or [n, channels, …] as pictures; BadSource names `what`."""
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or len(images) == 0:
        raise BadSource(f"{what}: pictures of shape {images.shape}; wanted [n, height, width] or with channels")
    if _channels_come_first(images.shape):
        images = images.transpose(0, 2, 3, 1)
    if images.shape[3] not in CHANNELS:
        raise BadSource(f"{what}: pictures of shape {images.shape} have no axis of 1, 3 or 4 channels")
    return Pictures(images, _conversion(images, what))


def _channels_come_first(shape: tuple[int, ...]) -> bool:
    """Return whether axis 1 is that of the channels.

    Where both axes could be channels, as in pictures of 4x4, the other two of a square picture are equal.
    """
    return shape[1] in CHANNELS and (shape[3] not in CHANNELS or shape[2] == shape[3])


def _conversion(images: np.ndarray, what: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return what makes uint8, or float32 in -1..1, of each picture; all of them say which range they are of."""
    if images.dtype == np.uint8:
        return lambda picture: picture
    if images.dtype == np.bool_:
        return lambda picture: picture.astype(np.uint8) * 255
    if images.dtype == np.uint16:
        return wide_to_bytes
    low, high = _range(images)
    if images.dtype.kind == "f" and low >= 0 and high <= 1:
        return lambda picture: picture.astype(np.float32) * 2 - 1
    if images.dtype.kind == "f" and low >= -1 and high <= 1:
        return lambda picture: picture.astype(np.float32)
    if images.dtype.kind in "iu" and low >= 0 and high <= 255:
        return lambda picture: picture.astype(np.uint8)
    wanted = "floats in 0..1 or -1..1" if images.dtype.kind == "f" else "integers in 0..255, or uint16"
    raise BadSource(
        f"{what}: {images.dtype} pixels in {low:g}..{high:g}; wanted {wanted}{_hint(images.dtype, low, high)}"
    )


def _range(images: np.ndarray) -> tuple[float, float]:
    """Return the least and the greatest that is finite: pictures with others are refused one by one, by their number."""
    if images.dtype.kind not in "iuf":
        return np.nan, np.nan
    lows, highs = [], []
    for begin in range(0, len(images), AT_ONCE):
        some = images[begin : begin + AT_ONCE]
        finite = some[np.isfinite(some)]
        if finite.size:
            lows.append(float(finite.min()))
            highs.append(float(finite.max()))
    return (min(lows), max(highs)) if lows else (0.0, 0.0)


def _hint(dtype: np.dtype, low: float, high: float) -> str:
    return "; divide them by 255, or save them as uint8" if dtype.kind == "f" and low >= 0 and 1 < high <= 255 else ""


def _on_white(images: np.ndarray) -> np.ndarray:
    if images.shape[-1] != 4:
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
        mapped = _mapped(path, images)
        return file[images] if mapped is None else mapped, file[labels] if labels else None


def _mapped(path: Path, name: str) -> np.ndarray | None:
    """Return an array of an .npz mapped, not read; None where it is compressed, or holds Python objects."""
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        member = archive.getinfo(f"{name}.npy")
        if member.compress_type != zipfile.ZIP_STORED:
            return None
        file.seek(member.header_offset + 26)
        file.seek(sum(struct.unpack("<HH", file.read(4))), 1)  # past its name and what is beside it
        read_header = npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
        shape, is_fortran, dtype = read_header(file)
        if dtype.hasobject or 0 in shape:
            return None
        return np.memmap(path, dtype, "r", file.tell(), shape, "F" if is_fortran else "C")


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


def _items(pictures: Pictures, labels: np.ndarray | None) -> Iterator[Item]:
    for index in range(len(pictures)):
        label = None if labels is None else labels[index].item()
        yield Item(name=str(index), label=label, read=partial(pictures.__getitem__, index))
