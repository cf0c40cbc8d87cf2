"""The files below a folder, in natural order: links that stay inside are followed, and nothing is passed over unsaid."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from trainers.data.natural import natural
from trainers.data.readers.sources import SPLITS, BadSource, choose_split

LITTER = ("__MACOSX", "Thumbs.db", "thumbs.db", "desktop.ini", "Icon\r")  # what operating systems leave behind


@dataclass(frozen=True, kw_only=True)
class Found:
    path: Path
    name: PurePosixPath  # relative to the folder
    problem: str | None = None  # why it cannot be read


def is_litter(name: PurePosixPath) -> bool:
    """Return whether it is hidden, or what an operating system left."""
    return any(part.startswith(".") or part in LITTER for part in name.parts)


def walk(folder: Path, roots: Sequence[Path] = ()) -> list[Found]:
    """Return the files below `folder`, without litter; or the file itself.

    roots: folders that links may lead to, beside this one. A link to a folder that it lies in is not followed: loops end.
    Raises BadSource for a folder that cannot be read, or a link to one outside: how many pictures that hides is unknown.
    """
    if not folder.is_dir():
        return [Found(path=folder, name=PurePosixPath(folder.name))]
    root = folder.resolve()
    allowed = (root, *(each.resolve() for each in roots))
    return sorted(_below(folder, PurePosixPath(), (root,), allowed), key=lambda found: natural(found.name))


def _below(folder: Path, name: PurePosixPath, parents: tuple[Path, ...], allowed: tuple[Path, ...]) -> Iterator[Found]:
    for path in _entries(folder):
        here = name / path.name
        _refuse_unwritable(path)
        if is_litter(PurePosixPath(path.name)):
            continue
        real = Path(os.path.realpath(path))
        problem = _problem(path, real, allowed)
        if not real.is_dir():
            yield Found(path=path, name=here, problem=problem)
        elif problem:
            raise BadSource(f"{path} {problem}")
        elif real not in parents:
            yield from _below(path, here, (*parents, real), allowed)


def _refuse_unwritable(path: Path) -> None:
    """Refuse a name that no file of ours could hold."""
    try:
        path.name.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path.name).decode("ascii", "backslashreplace")
        raise BadSource(f"{path.parent}: the name {shown} is not in UTF-8; rename it") from None


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise BadSource(
            f"{folder} cannot be read ({error.strerror}): let the user of the workers read it, or move it away"
        ) from None


def _problem(path: Path, real: Path, allowed: tuple[Path, ...]) -> str | None:
    """Say why what is not inside is not read."""
    if not path.is_symlink():
        return None
    if not real.exists():
        return f"is a link to {real}, which is not there"
    if not any(real.is_relative_to(root) for root in allowed):
        return f"is a link that leads out of the folder, to {real}; GANWORKS_DATA_ROOTS={real.parent} on the workers allows it"
    return None


def files_of_split(where: Path, found: Sequence[Found], split: str | None) -> list[Path]:
    """Return those of one split. A file's split is the first word of its name (train-00003-of-00100) or the folder that it
    lies in; where no name says so, all are of `train`. BadSource names the choices, or a file that cannot be read."""
    if broken := next((each for each in found if each.problem), None):
        raise BadSource(f"{broken.path} {broken.problem}")
    if where.is_file():
        return [where]
    parts: dict[str, list[Path]] = {}
    for each in found:
        words = (re.split(r"[-_.]", each.name.name.lower())[0], each.path.parent.name.lower())
        parts.setdefault(next((SPLITS[word] for word in words if word in SPLITS), "train"), []).append(each.path)
    return parts[choose_split(split, {name: name for name in parts}, where)]
