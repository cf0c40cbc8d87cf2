"""WebDataset: tars in which the files of one sample share their name up to the first dot, and `.cls` is its label.

The tars are read from front to back, twice: once for names and labels, once for the pictures.
"""

import tarfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from trainers.data.decode import UnreadableImage, decode
from trainers.data.pictures import PICTURES
from trainers.data.sources import BadSource, Item, Source
from trainers.data.walk import Found, files_of_split

LABEL = ".cls"
BLOCK = 512  # bytes, of a tar
Labels = dict[str, int]  # by sample


def webdataset_source(where: Path, found: Sequence[Found], split: str | None) -> Source:
    """BadSource where a tar is damaged or holds no pictures, or where only some samples have a label."""
    tars = files_of_split(where, found, split)
    looked = [_looked_through(tar) for tar in tars]
    pictures = sum(count for count, _ in looked)
    labels: Labels = {}
    for _, written in looked:
        labels |= written
    if not pictures:
        raise BadSource(f"no pictures in {where}")
    if labels and len(labels) != pictures:
        raise BadSource(f"{where}: {len(labels)} of {pictures} samples have a {LABEL}; all or none must have one")
    return Source(
        name=where.name,
        count=pictures,
        items=lambda: _items(tars, labels),
        labelled=bool(labels),
    )


def _looked_through(tar: Path) -> tuple[int, Labels]:
    """Return how many pictures, and the labels."""
    pictures = 0
    labels: Labels = {}
    for sample, extension, content in _members(tar):
        pictures += extension in PICTURES
        if extension == LABEL:
            labels[sample] = _label(content(), tar, sample)
    return pictures, labels


def _label(text: bytes, tar: Path, sample: str) -> int:
    if not text.strip().isdigit():
        raise BadSource(f"{tar}: {sample}{LABEL} holds {text[:40]!r}; wanted a number from 0")
    return int(text)


def _items(tars: list[Path], labels: Labels) -> Iterator[Item]:
    for tar in tars:
        for sample, extension, content in _members(tar):
            if extension in PICTURES:
                yield Item(name=f"{sample}{extension}", label=labels.get(sample), read=partial(_decoded, content()))


def _decoded(content: bytes) -> np.ndarray:
    if not content:
        raise UnreadableImage("is empty")
    return decode(content)


def _members(tar: Path) -> Iterator[tuple[str, str, "_Content"]]:
    """Return (sample with the tar's name, last extension in lower case, its bytes on demand) of every file, in order."""
    _refuse_torn(tar)
    try:
        with tarfile.open(tar, "r:") as archive:
            for member in archive:
                if member.isfile():
                    path = PurePosixPath(member.name)
                    sample = str(path.with_name(path.name.split(".", 1)[0]))
                    yield f"{tar.name}/{sample}", path.suffix.lower(), _Content(archive, member)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise BadSource(f"{tar} is a damaged tar: {error}") from None


def _refuse_torn(tar: Path) -> None:
    """tarfile takes a header that is cut off for the end, and would lose the rest in silence."""
    try:
        file = tar.open("rb")
    except OSError as error:
        raise BadSource(f"{tar} cannot be read: {error.strerror}") from None
    with file:
        file.seek(-min(BLOCK, tar.stat().st_size), 2)
        if any(file.read()):
            raise BadSource(f"{tar} is a damaged tar: it does not end as tars do, with an empty block")


class _Content:
    def __init__(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        self._archive, self._member = archive, member

    def __call__(self) -> bytes:
        file = self._archive.extractfile(self._member)
        assert file is not None
        return file.read()
