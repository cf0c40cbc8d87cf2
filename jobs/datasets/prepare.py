"""Find, pack and cache: what every rank calls before it trains. One process of a machine works, the others wait."""

import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from jobs import digest, locks
from jobs.datasets import cifar, remote
from jobs.datasets.builtin import BUILTINS, NAMES, PROCEDURAL
from jobs.datasets.find import NotToBeHad, Report, find_idx
from jobs.specs.errors import did_you_mean
from jobs.specs.sources import is_local
from jobs.specs.spec import Data
from jobs.store import ObjectInfo
from trainers.data.pack import UnreadableImages, pack, pack_arrays
from trainers.data.packed import DamagedData, PackedData, open_packed
from trainers.data.readers.decode import UnreadableImage
from trainers.data.readers.shapes import ProceduralSource
from trainers.data.readers.sources import BadSource
from trainers.data.readers.walk import Found, walk

PACKER = 3  # raise it when the same source would pack to other bytes


class BadData(ValueError):
    """The data cannot be had or used; the message names the source and the way out."""


def prepare(
    data: Data, home: Path, report: Report, env: Mapping[str, str] | None = None, *, processes: int = 1
) -> PackedData:
    """Return the packed data set of a `data:` entry, from the cache below `home` or made now. Raises BadData.

    env: AWS_* settings for a source in object storage; None, or without a key: the process's own. processes: that
    decode pictures.
    """
    if not data.source:
        raise BadData("data: only `source` is supported yet")
    try:
        objects = _listed(data.source, env)
        folder = home / "packed" / _key(data, objects)
        _remove_interrupted(folder.parent)
        with locks.held(_lock(folder)):
            return _cached(folder) or _pack_source(data, folder, home / "sources", report, objects, env, processes)
    except (NotToBeHad, BadSource, UnreadableImage, UnreadableImages) as error:
        raise BadData(str(error)) from error


def _listed(source: str, env: Mapping[str, str] | None) -> list[ObjectInfo]:
    """Return the objects of a source in object storage; none of any other."""
    return remote.listing(source, _credentials(env)) if source.startswith("s3://") else []


def _credentials(env: Mapping[str, str] | None) -> Mapping[str, str] | None:
    """Return the job's own, which came with its claim; None: the process's, where the job's store needs none."""
    return env if env and env.get("AWS_ACCESS_KEY_ID") else None


def _cached(folder: Path) -> PackedData | None:
    try:
        return open_packed(folder) if folder.exists() else None
    except DamagedData:
        return None  # packed again, over it


def _pack_source(
    data: Data,
    out: Path,
    cache: Path,
    report: Report,
    objects: Sequence[ObjectInfo],
    env: Mapping[str, str] | None,
    processes: int,
) -> PackedData:
    source = str(data.source)
    if not objects:
        return _pack(data, PROCEDURAL.get(source), out, cache, report, processes)
    with remote.held(source, cache):
        fetched = remote.fetch(source, objects, cache, report, _credentials(env))
        return _pack(data, fetched, out, cache, report, processes)


def _pack(
    data: Data, where: Path | ProceduralSource | None, out: Path, cache: Path, report: Report, processes: int
) -> PackedData:
    """Pack what `where` names: None for a built-in set, else a procedural source or a local path."""
    source = str(data.source)
    split = data.split or "train"

    def progress(done: int, total: int) -> None:
        report(f"packing {source}", done, total)

    if source in BUILTINS:
        return _pack_builtin(data, split, out, cache, report)
    return pack(
        where or _path(source),
        out,
        resolution=data.resolution,
        channels=data.channels,
        labels=data.labels,
        split=data.split,
        max_corrupt_share=data.max_corrupt,
        progress=progress,
        way=data.fit,
        kind=data.format,
        label=data.label,
        roots=data_roots(),
        processes=processes,
    )


def _pack_builtin(data: Data, split: str, out: Path, cache: Path, report: Report) -> PackedData:
    builtin = BUILTINS[str(data.source)]
    if split not in builtin.splits:
        raise BadData(f"data.split: {builtin.name} has no {split!r}{did_you_mean(split, builtin.splits)}")

    def progress(done: int, total: int) -> None:
        report(f"packing {builtin.name}", done, total)

    if builtin.layout == "cifar":
        pictures, labels = cifar.read(builtin, split, cache, report)
    else:
        from trainers.data.readers.idx import read_idx

        folder = find_idx(builtin, split, cache, report)
        pictures, labels = (read_idx(folder / file.name.removesuffix(".gz")) for file in builtin.splits[split])
        pictures = pictures[..., None]
    wanted = data.labels != "none"
    return pack_arrays(
        pictures,
        labels.tolist() if wanted else None,
        out,
        count=len(pictures),
        source=builtin.name,
        class_names=builtin.class_names if wanted else None,
        resolution=data.resolution,
        channels=data.channels,
        progress=progress,
        way=data.fit,
    )


def data_roots() -> list[Path]:
    """Return the folders that links in a source may lead to."""
    return [Path(root) for root in os.environ.get("GANWORKS_DATA_ROOTS", "").split(os.pathsep) if root]


def _path(source: str) -> Path:
    if not is_local(source):
        raise BadData(f"data.source: unknown {source!r}{did_you_mean(source, NAMES)}; a path begins with ./ or /")
    path = Path(source)
    if not path.exists():
        raise BadData(f"data.source: {source}: no such file or folder on {os.uname().nodename}, where the worker runs")
    return path


def _key(data: Data, objects: Sequence[ObjectInfo]) -> str:
    """Return names a packed data set in the cache: what it is made from, and how."""
    files = _fingerprint(str(data.source), objects)
    return digest.of_json({"packer": PACKER, "data": data.model_dump(mode="json"), "files": files})[:32]


def _fingerprint(source: str, objects: Sequence[ObjectInfo]) -> list[list[str | int]] | None:
    """Return names, sizes and what tells of the content (ETags, or ages of files): a changed source is packed again."""
    if objects:
        return [[each.key, each.size, each.etag or str(each.modified)] for each in objects]
    if not is_local(source):
        return None
    root = _path(source)
    return [[str(found.name), *_state(found)] for found in walk(root, data_roots())]


def _state(found: Found) -> tuple[int, int]:
    if found.problem:
        return -1, -1
    state = found.path.stat()
    return state.st_size, state.st_mtime_ns


def _lock(folder: Path) -> Path:
    """Return what one process of the machine holds while it packs into the folder."""
    return folder.with_name(f"{folder.name}.lock")


def _remove_interrupted(packed: Path) -> None:
    """Remove what packers left that were ended: half a folder whose lock nobody holds."""
    for half in packed.glob(".*-*"):
        key = half.name[1:].rpartition("-")[0]
        with suppress(locks.Held), locks.held(_lock(packed / key), wait=False):
            shutil.rmtree(half, ignore_errors=True)
