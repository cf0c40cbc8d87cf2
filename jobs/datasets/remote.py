"""A data source in object storage -> files in the cache, kept like its listing: what changed is fetched, what went goes."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from jobs import digest, locks
from jobs.datasets.find import NotToBeHad, Report
from jobs.specs.units import parse_bytes
from jobs.store import ObjectInfo, Store, open_store

CACHE_LIMIT = "GANWORKS_DATA_CACHE"  # of all local copies together
CACHE_DEFAULT = "100GiB"
State = tuple[int, float, str]  # size, age and ETag of an object
Listing = dict[str, State]  # by file below the copy's folder


def listing(uri: str, env: Mapping[str, str] | None = None) -> list[ObjectInfo]:
    """Return the objects of `s3://bucket`, a prefix `s3://bucket/key` or one object, in the order of keys; NotToBeHad if none.

    env: AWS_* settings; None: the process's own.
    """
    bucket, key = _split(uri)
    found = open_store(f"s3://{bucket}", env=env).list(key)
    infos = [info for info in found if not key or info.key == key or info.key.startswith(key.rstrip("/") + "/")]
    if not infos:
        raise NotToBeHad(f"{uri}: nothing is there")
    return infos


def fetch(
    uri: str, infos: Sequence[ObjectInfo], cache: Path, report: Report, env: Mapping[str, str] | None = None
) -> Path:
    """Make the local copy of a source as its listing says, and return its file or folder. Others make room for it."""
    bucket, key = _split(uri)
    store = open_store(f"s3://{bucket}", env=env)
    folder = _copy_of(uri, cache)
    wanted: Listing = {_relative(info.key, key): (info.size, info.modified, info.etag) for info in infos}
    done, total = 0, sum(info.size for info in infos)
    _prune(cache / "s3", total, but=folder)
    with _recorded(folder) as there:
        _remove_gone(folder, wanted, there)
        for info in infos:
            name = _relative(info.key, key)
            if there.get(name) != wanted[name] or not (folder / name).is_file():
                there.pop(name, None)
                _get(store, uri, info.key, folder, name)
                there[name] = wanted[name]
            done += info.size
            report(f"fetching {uri}", done, total)
    return folder / _relative(key, key) if infos[0].key == key else folder


@contextmanager
def held(uri: str, cache: Path) -> Iterator[None]:
    """Let nobody else change or remove the local copy; the lock goes with the process, however it ends."""
    with locks.held(_lock(_copy_of(uri, cache))):
        yield


def _get(store: Store, uri: str, key: str, folder: Path, name: str) -> None:
    try:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        store.get_file(key, folder / name)
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        reason = "is an object, and a folder of others: files cannot be both"
        raise NotToBeHad(f"{uri}: {name} {reason}; rename one of them") from None


def _remove_gone(folder: Path, wanted: Listing, there: Listing) -> None:
    """Remove also what a killed fetch left: whatever no object stands for."""
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        name = path.relative_to(folder).as_posix()
        if name not in wanted:
            path.unlink()
            there.pop(name, None)


@contextmanager
def _recorded(folder: Path) -> Iterator[Listing]:
    """Yield what the copy holds, kept beside it, also when a fetch breaks off."""
    folder.mkdir(parents=True, exist_ok=True)
    record = _record(folder)
    there = _read(record)
    try:
        yield there
    finally:
        half = record.with_suffix(".half")
        half.write_text(json.dumps(there))
        os.replace(half, record)


def _read(record: Path) -> Listing:
    try:
        return {name: (size, modified, etag) for name, (size, modified, etag) in json.loads(record.read_text()).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _prune(copies: Path, needed: int, *, but: Path) -> None:
    """Remove the copies that were used longest ago until those left and `needed` bytes are within the limit."""
    limit = parse_bytes(os.environ.get(CACHE_LIMIT) or CACHE_DEFAULT)
    others = [record.with_suffix("") for record in copies.glob("*.json") if record.with_suffix("") != but]
    oldest_first = sorted(others, key=lambda folder: _record(folder).stat().st_mtime)
    left = needed + sum(_size(folder) for folder in others)
    for folder in oldest_first:
        if left <= limit:
            return
        left -= _removed(folder)


def _removed(folder: Path) -> int:
    """Return the bytes that were freed: none where somebody reads the copy."""
    with suppress(locks.Held), locks.held(_lock(folder), wait=False):
        size = _size(folder)
        _record(folder).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        return size
    return 0


def _size(folder: Path) -> int:
    return sum(state[0] for state in _read(_record(folder)).values())


def _copy_of(uri: str, cache: Path) -> Path:
    return cache / "s3" / digest.of_bytes(uri.encode())[:16]


def _record(folder: Path) -> Path:
    return folder.with_suffix(".json")


def _lock(folder: Path) -> Path:
    return folder.with_suffix(".lock")


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def _relative(object_key: str, key: str) -> str:
    """Return where an object goes below the cache's folder; `..` in a key stays inside."""
    head = len(key.rstrip("/")) + 1 if key else 0
    tail = object_key.rpartition("/")[2] if object_key == key else object_key[head:]
    return "/".join(part for part in tail.split("/") if part not in ("", ".", ".."))
