"""Folders and zips of encoded pictures. Sub-folders are classes, in natural order (2 before 10).

Hidden files and what operating systems leave behind are passed over in silence; other files that are no pictures are
noted as such; everything that calls itself a picture is either packed or refused by name.
"""

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from trainers.data.decode import UnreadableImage, decode
from trainers.data.sources import SPLITS, BadSource, Item, Source, natural

LITTER = ("__MACOSX", "Thumbs.db", "thumbs.db", "desktop.ini", "Icon\r")
PICTURES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".bmp", ".dib", ".gif", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".pcx", ".jp2", ".j2k", ".avif"),
    # Pictures to their owner, though Pillow reads none of them: they are refused by name.
    *(".heic", ".heif", ".jxl", ".svg", ".psd", ".exr", ".hdr", ".raw", ".cr2", ".nef", ".dng", ".arw"),
)
MAX_MEMBER_BYTES = 1 << 30
MAX_RATIO = 1000  # a member that unpacks to more than this many times its size is a bomb


@dataclass(frozen=True, kw_only=True)
class File:
    path: PurePosixPath  # relative to the source
    read: Callable[[], bytes]  # UnreadableImage with the reason


def folder_source(folder: Path, split: str | None) -> Source:
    """Links are followed only where they stay inside the folder."""
    root = folder.resolve()
    paths = sorted(path for path in folder.rglob("*") if path.is_file() or path.is_symlink())
    files = [
        File(path=PurePosixPath(path.relative_to(folder).as_posix()), read=partial(_read_inside, path, root))
        for path in paths
        if not path.is_dir()
    ]
    return _tree(folder, files, split)


def zip_source(path: Path, split: str | None) -> Source:
    """BadSource for a damaged or encrypted zip, and for one whose names lead out of it."""
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise BadSource(f"{path} is a damaged zip: {error}") from None
    members = [member for member in archive.infolist() if not member.is_dir()]
    for member in members:
        _refuse_dangerous(member, path)
    files = [
        File(path=PurePosixPath(member.filename), read=partial(_read_member, archive, member)) for member in members
    ]
    return _tree(path, files, split)


def _tree(where: Path, files: list[File], split: str | None) -> Source:
    files, ignored = _pictures_among([file for file in files if not _is_litter(file.path)])
    if not files:
        raise BadSource(f"no pictures in {where}")
    files = _without_lone_folder(_of_split(files, split, where))
    class_names = _class_names(files, where)
    ranks = {name: rank for rank, name in enumerate(class_names or ())}
    files.sort(key=lambda file: natural(file.path))

    def items() -> Iterator[Item]:
        for file in files:
            label = ranks[file.path.parts[0]] if class_names else None
            yield Item(name=str(file.path), label=label, read=partial(_decoded, file))

    return Source(name=where.name, count=len(files), items=items, class_names=class_names, ignored=tuple(ignored))


def _decoded(file: File) -> np.ndarray:
    return decode(file.read())


def _is_litter(path: PurePosixPath) -> bool:
    return any(part.startswith(".") or part in LITTER for part in path.parts)


def _pictures_among(files: list[File]) -> tuple[list[File], list[tuple[str, str]]]:
    pictures = [file for file in files if file.path.suffix.lower() in PICTURES]
    others = [file for file in files if file.path.suffix.lower() not in PICTURES]
    return pictures, [(str(file.path), f"not a picture ({file.path.suffix or 'no extension'})") for file in others]


def _without_lone_folder(files: list[File]) -> list[File]:
    """Pass over a folder that is alone: the zip of a folder holds that folder; `images/` alone is no class."""
    while len({file.path.parts[0] for file in files}) == 1 and all(len(file.path.parts) > 1 for file in files):
        files = [_inside(file) for file in files]
    return files


def _inside(file: File) -> File:
    return File(path=PurePosixPath(*file.path.parts[1:]), read=file.read)


def _of_split(files: list[File], split: str | None, where: Path) -> list[File]:
    """Only the wanted split, where the top folders are splits; `train` where none is asked for."""
    files = _without_lone_folder(files) if len({file.path.parts[0] for file in files}) == 1 else files
    tops = {file.path.parts[0] for file in files if len(file.path.parts) > 1}
    splits = {SPLITS[top.lower()]: top for top in tops if top.lower() in SPLITS}
    if not splits or len(splits) < len(tops):
        if split not in (None, "train"):
            raise BadSource(f"{where} has no split {split!r}: its folders are {', '.join(sorted(tops)) or 'none'}")
        return files
    wanted = splits.get(SPLITS.get(split or "train", split or "train"))
    if wanted is None:
        raise BadSource(f"{where} has no split {split or 'train'!r}; it has {', '.join(sorted(splits))}")
    return [_inside(file) for file in files if file.path.parts[0] == wanted]


def _class_names(files: list[File], where: Path) -> tuple[str, ...] | None:
    loose = [file for file in files if len(file.path.parts) == 1]
    names = {file.path.parts[0] for file in files if len(file.path.parts) > 1}
    if not names:
        return None
    if loose:
        raise BadSource(
            f"{where}: {len(loose)} pictures (such as {loose[0].path}) lie beside the class folders "
            f"{', '.join(sorted(names, key=natural)[:5])}; put them into one of them"
        )
    return tuple(sorted(names, key=natural))


def _read_inside(path: Path, root: Path) -> bytes:
    try:
        if not path.resolve(strict=True).is_relative_to(root):
            raise UnreadableImage("is a link that leads out of the folder")
        return path.read_bytes()
    except OSError as error:
        raise UnreadableImage(error.strerror or str(error)) from None


def _refuse_dangerous(member: zipfile.ZipInfo, path: Path) -> None:
    name = PurePosixPath(member.filename.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts or ":" in name.parts[0]:
        raise BadSource(f"{path}: the name {member.filename!r} leads out of the zip")
    if (member.external_attr >> 16) & 0o170000 == 0o120000:
        raise BadSource(f"{path}: {member.filename!r} is a link")
    if member.flag_bits & 1:
        raise BadSource(f"{path}: {member.filename!r} is encrypted")
    if member.file_size > MAX_MEMBER_BYTES or member.file_size > MAX_RATIO * max(member.compress_size, 1):
        raise BadSource(f"{path}: {member.filename!r} unpacks to {member.file_size} bytes; that is no picture")


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    try:
        return archive.read(member)
    except (zipfile.BadZipFile, NotImplementedError, OSError, EOFError, ValueError) as error:
        raise UnreadableImage(str(error)) from None
    except Exception as error:  # zlib.error has no public base class beside Exception
        raise UnreadableImage(str(error)) from None
