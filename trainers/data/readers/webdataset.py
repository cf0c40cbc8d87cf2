"""Tars. WebDataset: the files of one sample share their name up to the first dot, and `.cls`, `.json` or `.txt` has its
label. Without those, folders of pictures in the tar are classes, or tars are that name their pictures (ImageNet's).

The tars are read from front to back, twice: once for names and labels, once for the pictures.
"""

import json
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

from trainers.data.classes import Label
from trainers.data.readers.decode import UnreadableImage
from trainers.data.readers.pictures import MAX_MEMBER_BYTES, MAX_RATIO, PICTURES
from trainers.data.readers.sources import SPLITS, BadSource, Item, Source
from trainers.data.readers.tables import as_label, column
from trainers.data.readers.walk import Found, files_of_split, is_litter

TARS = (".tar", ".tar.gz", ".tgz")
BLOCK = 512  # bytes, of a tar
Labels = dict[str, Label]  # by sample


@dataclass(kw_only=True)
class _Looked:
    """What a first reading found, by sample."""

    pictures: dict[str, list[str]] = field(default_factory=dict)  # the extensions of its pictures, from the first dot
    labels: dict[str, Labels] = field(default_factory=lambda: {".cls": {}, ".json": {}, ".txt": {}})
    told: dict[Label, str] = field(default_factory=dict)  # what our own .json call a label
    tars: dict[str, str] = field(default_factory=dict)  # the stem of the tar that it lies in
    paths: dict[str, PurePosixPath] = field(default_factory=dict)


def webdataset_source(where: Path, found: Sequence[Found], split: str | None) -> Source:
    """Open the tars; BadSource where one is damaged or holds no pictures, where only some samples have a label,
    or one two pictures."""
    tars = files_of_split(where, found, split)
    looked = _Looked()
    for tar in tars:
        _look_through(tar, looked)
    if not looked.pictures:
        raise BadSource(f"no pictures in {where}")
    beside = _beside(where, looked)
    labels = _labels(where, looked)
    count = sum(map(len, looked.pictures.values())) - len(beside)
    told = looked.told if labels is looked.labels[".cls"] else {}
    ignored = tuple((name, "beside the picture of the same sample") for name in sorted(beside))
    return Source(
        name=where.name,
        count=count,
        items=lambda: _items(tars, labels, beside),
        labelled=bool(labels),
        told=told,
        ignored=ignored,
    )


def _look_through(tar: Path, looked: _Looked) -> None:
    for path, sample, extension, content in _members(tar):
        if _is_picture(extension):
            looked.pictures.setdefault(sample, []).append(extension)
            looked.tars[sample], looked.paths[sample] = tar.name.partition(".t")[0], path
        elif extension == ".cls":
            looked.labels[".cls"][sample] = _number(content(), tar, sample)
        elif extension == ".json":
            _read_json(content(), f"{tar}: {sample}.json", sample, looked)
        elif extension == ".txt":
            looked.labels[".txt"][sample] = content().decode("utf-8", "replace").strip()


def _is_picture(extension: str) -> bool:
    """Decide by the extension: from the first dot of the name."""
    return f".{extension.rpartition('.')[2]}" in PICTURES


def _number(text: bytes, tar: Path, sample: str) -> int:
    if not text.strip().isdigit():
        raise BadSource(f"{tar}: {sample}.cls holds {text[:40]!r}; wanted a number from 0")
    return int(text)


def _read_json(text: bytes, where: str, sample: str, looked: _Looked) -> None:
    """Read labels: our own have a number and a name, `label` and `class`;
    others' have one of the columns that labels are looked for in."""
    try:
        about = json.loads(text)
    except ValueError:
        raise BadSource(f"{where} is not JSON") from None
    if not isinstance(about, dict):
        return
    if isinstance(about.get("label"), int) and isinstance(about.get("class"), str):
        looked.told[about["label"]] = about.pop("class")
    name = column(list(about), None, where)
    label = as_label(about[name], where) if name else None
    if label is not None:
        looked.labels[".json"][sample] = label


def _beside(where: Path, looked: _Looked) -> set[str]:
    """Return the pictures that only belong to another one: `x.seg.png` beside `x.png`."""
    found = set()
    for sample, extensions in looked.pictures.items():
        plain = [extension for extension in extensions if extension.count(".") == 1]
        if len(plain) > 1:
            raise BadSource(f"{where}: sample {sample} has the pictures {' and '.join(plain)}; one is expected")
        if plain:
            found |= {f"{sample}{extension}" for extension in extensions if extension not in plain}
    return found


def _labels(where: Path, looked: _Looked) -> Labels:
    """Return the labels from the first place that has any."""
    for extension, labels in looked.labels.items():
        labels = {sample: label for sample, label in labels.items() if sample in looked.pictures}
        is_caption = extension == ".txt" and len(set(labels.values())) * 2 > len(labels)
        if not labels or is_caption:
            continue
        if len(labels) != len(looked.pictures):
            all_ = len(looked.pictures)
            raise BadSource(f"{where}: {len(labels)} of {all_} samples have a {extension}; all or none must have one")
        looked.labels[extension] = labels
        return labels
    return _of_folders(looked) or _of_tars(looked)


def _of_folders(looked: _Looked) -> Labels:
    """Return the names of the folders within the tars; none where they are no classes."""
    paths = dict(looked.paths)
    while len({path.parts[0] for path in paths.values()}) == 1 and all(len(path.parts) > 1 for path in paths.values()):
        paths = {sample: PurePosixPath(*path.parts[1:]) for sample, path in paths.items()}
    tops = {path.parts[0] for path in paths.values()}
    if any(len(path.parts) == 1 for path in paths.values()) or all(top.lower() in SPLITS for top in tops):
        return {}
    return {sample: path.parts[0] for sample, path in paths.items()}


def _of_tars(looked: _Looked) -> Labels:
    """Return the names of the tars, where each picture's name begins with its tar's, as ImageNet's do."""
    is_named = all(looked.paths[sample].name.startswith(f"{tar}_") for sample, tar in looked.tars.items())
    return dict(looked.tars) if is_named and len(set(looked.tars.values())) > 1 else {}


def _items(tars: list[Path], labels: Labels, beside: set[str]) -> Iterator[Item]:
    for tar in tars:
        for _, sample, extension, content in _members(tar):
            name = f"{sample}{extension}"
            if _is_picture(extension) and name not in beside:
                yield Item(name=name, label=labels.get(sample), read=partial(_there, content()))


def _there(content: bytes) -> bytes:
    if not content:
        raise UnreadableImage("is empty")
    return content


def _members(tar: Path) -> Iterator[tuple[PurePosixPath, str, str, Callable[[], bytes]]]:
    """Return (path, sample with the tar's name, extension from the first dot in lower case, bytes on demand) of every file."""
    is_compressed = tar.suffix.lower() != ".tar"
    if not is_compressed:
        _refuse_torn(tar)  # a compressed one that is cut off does not open
    try:
        with tarfile.open(tar, "r:gz" if is_compressed else "r:") as archive:
            most = MAX_MEMBER_BYTES if not is_compressed else min(MAX_MEMBER_BYTES, MAX_RATIO * tar.stat().st_size)
            for member in archive:
                if member.size > most:
                    raise BadSource(f"{tar}: {member.name!r} unpacks to {member.size} bytes; that is no picture")
                path = PurePosixPath(member.name.removeprefix("./"))
                if member.isfile() and not is_litter(path):
                    stem, dot, extension = path.name.partition(".")
                    yield path, f"{tar.name}/{path.with_name(stem)}", dot + extension.lower(), _Content(archive, member)
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise BadSource(f"{tar} is a damaged tar: {error}") from None


def _refuse_torn(tar: Path) -> None:
    """Refuse a torn tar: tarfile takes a header that is cut off for the end, and would lose the rest in silence."""
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
