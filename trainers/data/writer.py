"""Appends pictures to samples.npy, which turns from grey to RGB when the first coloured picture comes."""

from pathlib import Path
from typing import BinaryIO, Self

import numpy as np
from numpy.lib import format as npy

from trainers.data.fit import with_channels
from trainers.data.packed import SAMPLES
from trainers.data.readers.decode import UnreadableImage

CHUNK = 1024  # pictures rewritten at a time


class SampleWriter:
    """One picture in memory at a time. channels: None means grey until a picture has colour."""

    def __init__(self, folder: Path, *, channels: int | None) -> None:
        self.count = 0
        self.dtype = np.dtype(np.uint8)
        self.shape: tuple[int, int, int] = (channels or 0, 0, 0)
        self._fixed = channels is not None
        self._folder = folder
        self._file: BinaryIO = open(folder / SAMPLES, "wb")  # noqa: SIM115 - lives as long as the writer

    def append(self, picture: np.ndarray) -> None:
        """Append a picture: [height, width, channels]; UnreadableImage if its size or type is not the others'."""
        if self.count == 0:
            self._begin(picture)
        self._check(picture)
        if not self._fixed and picture.shape[2] == 3 and self.shape[0] == 1:
            self._promote()
        picture = with_channels(picture, self.shape[0])
        self._file.write(np.ascontiguousarray(picture.transpose(2, 0, 1)).tobytes())
        self.count += 1

    def finish(self) -> None:
        """Put the true count into the header, which has room for any."""
        self._file.seek(0)
        self._write_header(self._file, self.count)
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def _begin(self, picture: np.ndarray) -> None:
        height, width, channels = picture.shape
        self.dtype = picture.dtype
        self.shape = (self.shape[0] or channels, height, width)
        self._write_header(self._file, 0)

    def _check(self, picture: np.ndarray) -> None:
        if picture.shape[:2] != self.shape[1:]:
            have, want = ("x".join(map(str, size)) for size in (picture.shape[1::-1], self.shape[:0:-1]))
            raise UnreadableImage(f"is {have}, the first is {want}; give a resolution to fit them")
        if picture.dtype != self.dtype:
            raise UnreadableImage(f"has {picture.dtype} pixels, the first has {self.dtype}")

    def _promote(self) -> None:
        """Rewrite what is there with three equal channels."""
        self._file.close()
        grey, rgb = self._folder / "grey.npy", self._folder / SAMPLES
        rgb.rename(grey)
        size = int(np.prod(self.shape)) * self.dtype.itemsize
        with open(grey, "rb") as old:
            self._skip_header(old)
            self.shape = (3, *self.shape[1:])
            self._file = open(rgb, "wb")  # noqa: SIM115
            self._write_header(self._file, 0)
            while block := old.read(CHUNK * size):
                planes = np.frombuffer(block, self.dtype).reshape(-1, 1, *self.shape[1:])
                self._file.write(np.repeat(planes, 3, axis=1).tobytes())
        grey.unlink()

    def _write_header(self, file: BinaryIO, count: int) -> None:
        header = {"descr": npy.dtype_to_descr(self.dtype), "fortran_order": False, "shape": (count, *self.shape)}
        npy.write_array_header_1_0(file, header)

    @staticmethod
    def _skip_header(file: BinaryIO) -> None:
        npy.read_magic(file)
        npy.read_array_header_1_0(file)
