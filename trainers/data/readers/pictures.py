"""Folders and zips of encoded pictures. Sub-folders are classes, in natural order (2 before 10), where no file beside
the pictures has their labels (see `tables`).

Hidden files and what operating systems leave behind are passed over in silence; other files that are no pictures are
noted as such; everything that calls itself a picture is either packed or refused by name.
"""

import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

from trainers.data.classes import Label
from trainers.data.natural import natural
from trainers.data.readers.decode import UnreadableImage
from trainers.data.readers.sources import SPLITS, BadSource, Item, Source
from trainers.data.readers.tables import HIVE, is_metadata, read_all
from trainers.data.readers.walk import Found, is_litter

PICTURES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".bmp", ".dib", ".gif", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".pcx", ".jp2", ".j2k", ".avif"),
    # Pictures to their owner, though Pillow reads none of them: they are refused by name.
    *(".heic", ".heif", ".jxl", ".svg", ".psd", ".exr", ".hdr", ".raw", ".cr2", ".nef", ".dng", ".arw"),
)
ARRAY = ".npy"  # a picture where there are no others: beside some it holds labels, or statistics
MAX_MEMBER_BYTES = 1 << 30
MAX_RATIO = 1000  # a member that unpacks to more than this many times its size is a bomb


@dataclass(frozen=True, kw_only=True)
class File:
    name: PurePosixPath  # relative to the source
    path: PurePosixPath  # the same without what is no class: the split's folder, a lone one
    read: Callable[[], bytes]  # UnreadableImage with the reason


def folder_source(folder: Path, found: Sequence[Found], split: str | None, label: str | None) -> Source:
    """Return the source of a folder. found: the files below it. label: see `pack`."""
    return _tree(
        folder, [File(name=each.name, path=each.name, read=partial(_read_file, each)) for each in found], split, label
    )


def zip_source(path: Path, split: str | None, label: str | None) -> Source:
    """Open a zip; BadSource for a damaged or encrypted one, and for one whose names lead out of it."""
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise BadSource(f"{path} is a damaged zip: {error}") from None
    members = [member for member in archive.infolist() if not member.is_dir()]
    for member in members:
        _refuse_dangerous(member, path)
    files = [
        File(name=name, path=name, read=partial(_read_member, archive, member))
        for member in members
        for name in [PurePosixPath(member.filename)]
        if not is_litter(name)
    ]
    return _tree(path, files, split, label)


def _tree(where: Path, files: list[File], split: str | None, label: str | None) -> Source:
    tables = [file for file in files if is_metadata(file.name)]
    files, ignored = _pictures_among([file for file in files if not is_metadata(file.name)])
    if not files:
        raise BadSource(f"no pictures in {where}")
    files = _without_lone_folder(_of_split(files, split, where))
    labels, told = _labels(where, files, tables, label)
    files.sort(key=lambda file: natural(file.path))

    def items() -> Iterator[Item]:
        for file in files:
            yield Item(name=str(file.path), label=labels.get(file.name), read=file.read)

    return Source(name=where.name, count=len(files), items=items, labelled=told, ignored=tuple(ignored), encoded=True)


def _labels(
    where: Path, files: list[File], tables: list[File], asked: str | None
) -> tuple[dict[PurePosixPath, Label | None], bool]:
    """Return the pictures' labels by name, and whether they have any: those of a table, or the names of their folders."""
    written, is_alone = None, False
    if asked != "folder":
        written, is_alone = read_all([(table.name, partial(_read_table, where, table)) for table in tables], asked)
        if asked is not None and written is None:
            raise BadSource(f"{where}: data.label is {asked!r}, and no metadata.csv, .jsonl or .parquet has it")
    if written is None:
        names = {} if is_alone else _folder_labels(files, where)
        return dict(names), bool(names)
    folders = {file.path.parts[0] for file in files if len(file.path.parts) > 1}
    labels = {file.name: written.get(file.name) for file in files}
    if len(folders) > 1 and not is_alone and asked is None and not _agree(files, labels):
        raise BadSource(
            f"{where}: {', '.join(str(table.name) for table in tables)} has labels, and the folders "
            f"{', '.join(sorted(folders, key=natural)[:5])} say others; `label: folder` takes the folders, "
            f"`label: COLUMN` that column"
        )
    if not any(label is not None for label in labels.values()):
        raise BadSource(
            f"{where}: {', '.join(str(table.name) for table in tables)} names none of the pictures, such as "
            f"{files[0].name}; names are relative to its own folder"
        )
    return labels, True


def _agree(files: list[File], labels: dict[PurePosixPath, Label | None]) -> bool:
    """Return whether table and folders make the same classes, whatever they call them, or the folders make none."""
    pairs = {(file.path.parts[0] if len(file.path.parts) > 1 else "", labels[file.name]) for file in files}
    return len(pairs) == len({folder for folder, _ in pairs}) == len({label for _, label in pairs})


def _read_table(where: Path, table: File) -> bytes:
    try:
        return table.read()
    except UnreadableImage as error:
        raise BadSource(f"{where}: {table.name} {error}") from None


def _pictures_among(files: list[File]) -> tuple[list[File], list[tuple[str, str]]]:
    pictures = [file for file in files if file.path.suffix.lower() in PICTURES]
    pictures = pictures or [file for file in files if file.path.suffix.lower() == ARRAY]
    chosen = {file.name for file in pictures}
    others = [file for file in files if file.name not in chosen]
    return pictures, [(str(file.path), f"not a picture ({file.path.suffix or 'no extension'})") for file in others]


def _without_lone_folder(files: list[File]) -> list[File]:
    """Pass over a folder that is alone: the zip of a folder holds that folder; `images/` alone is no class."""
    while len({file.path.parts[0] for file in files}) == 1 and all(len(file.path.parts) > 1 for file in files):
        files = [_inside(file) for file in files]
    return files


def _inside(file: File) -> File:
    return replace(file, path=PurePosixPath(*file.path.parts[1:]))


def _of_split(files: list[File], split: str | None, where: Path) -> list[File]:
    """Keep only the wanted split, where the top folders are splits; `train` where none is asked for."""
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


def _folder_labels(files: list[File], where: Path) -> dict[PurePosixPath, Label]:
    loose = [file for file in files if len(file.path.parts) == 1]
    names = {file.path.parts[0] for file in files if len(file.path.parts) > 1}
    if names and loose:
        raise BadSource(
            f"{where}: {len(loose)} pictures (such as {loose[0].path}) lie beside the class folders "
            f"{', '.join(sorted(names, key=natural)[:5])}; put them into one of them"
        )
    return {file.name: file.path.parts[0].removeprefix(HIVE) for file in files if names}


def _read_file(found: Found) -> bytes:
    if found.problem:
        raise UnreadableImage(found.problem)
    try:
        return found.path.read_bytes()
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
