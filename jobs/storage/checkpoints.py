"""Checkpoints in the store: COMMIT.json last, the newest whole one found by listing, old ones pruned.

What has no COMMIT does not exist. Keys carry the attempt, so a stale attempt writes beside, never over.
"""

import json
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel

from jobs import digest
from jobs.storage.layout import COMMIT, CheckpointKey, Layout, parse_commit_key
from jobs.store import NotFound, Store


class Damaged(ValueError):
    """A checkpoint whose content is not what its COMMIT says."""


def committed(store: Store, job: Layout) -> list[CheckpointKey]:
    """Return every committed checkpoint, newest first."""
    found = [key for info in store.list(job.checkpoints_prefix) if (key := parse_commit_key(info.key))]
    return sorted(found, key=lambda key: (key.examples, key.attempt), reverse=True)


def upload(store: Store, job: Layout, folder: Path, *, examples: int, attempt: int) -> CheckpointKey:
    """Put every file of a local checkpoint, its COMMIT.json last."""
    key = CheckpointKey(prefix=job.checkpoint(examples, attempt), examples=examples, attempt=attempt)
    for path in sorted(p for p in folder.iterdir() if p.is_file() and p.name != COMMIT):
        store.put_file(key.prefix + path.name, path)
    store.put(key.commit, (folder / COMMIT).read_bytes())
    return key


def newest(
    store: Store, job: Layout, folder: Path, report: Callable[[str, str], None]
) -> tuple[CheckpointKey, Path] | None:
    """Return the newest checkpoint that is whole, downloaded and checked; a damaged one is reported and passed over."""
    for key in committed(store, job):
        try:
            return key, fetch(store, key, folder)
        except (Damaged, NotFound) as error:
            report("checkpoint_damaged", f"{store.locate(key.prefix)}: {error}; trying an older one")
    return None


def fetch(store: Store, key: CheckpointKey, folder: Path) -> Path:
    """Return a checkpoint as a local folder, every file held to COMMIT's size and sha256. Raises Damaged."""
    target = folder / key.prefix.rstrip("/").rpartition("/")[2]
    target.mkdir(parents=True, exist_ok=True)
    commit = store.get(key.commit)
    for name, entry in _files(commit).items():
        path = target / name
        if not (path.is_file() and digest.of_file(path) == entry.sha256):
            store.get_file(key.prefix + name, path)
            if digest.of_file(path) != entry.sha256:
                raise Damaged(f"{name} has {path.stat().st_size} bytes of another content; COMMIT says {entry.size}")
    (target / COMMIT).write_bytes(commit)
    return target


class Entry(BaseModel):
    """What COMMIT says of one file."""

    size: int  # bytes
    sha256: str


def _files(commit: bytes) -> dict[str, Entry]:
    try:
        files = {name: Entry.model_validate(entry) for name, entry in json.loads(commit)["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Damaged(f"{COMMIT} is not readable") from None
    unsafe = [name for name in files if "/" in name or name.startswith(".")]
    if unsafe:
        raise Damaged(f"{COMMIT} names {unsafe[0]!r}, which is no file of a checkpoint")
    return files


def prune(store: Store, job: Layout, *, keep: int) -> None:
    """Leave the newest `keep`."""
    for key in committed(store, job)[keep:]:
        _remove(store, key)


def forget(store: Store, job: Layout, *, after: int, attempt: int) -> None:
    """Leave those of at most so many examples: the training went back, and what it left must not be resumed from.
    Those of later attempts stay: a stale one must not take them away."""
    for key in committed(store, job):
        if key.examples > after and key.attempt <= attempt:
            _remove(store, key)


def _remove(store: Store, key: CheckpointKey) -> None:
    """Remove COMMIT first: a crash in between leaves no checkpoint that only seems whole."""
    store.delete(key.commit)
    for info in list(store.list(key.prefix)):
        store.delete(info.key)
