"""Checkpoints in the store: COMMIT.json last, the newest whole one found by listing, old ones pruned.

What has no COMMIT does not exist. Keys carry the attempt, so a stale attempt writes beside, never over.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from jobs.storage.layout import CheckpointKey, Layout, parse_commit_key
from jobs.store import NotFound, Store

COMMIT = "COMMIT.json"


class Damaged(ValueError):
    """A checkpoint whose content is not what its COMMIT says."""


def committed(store: Store, job: Layout) -> list[CheckpointKey]:
    """Every committed checkpoint, newest first."""
    found = [key for info in store.list(job.checkpoints_prefix) if (key := parse_commit_key(info.key))]
    return sorted(found, key=lambda key: (key.examples, key.attempt), reverse=True)


def upload(store: Store, job: Layout, folder: Path, *, examples: int, attempt: int) -> CheckpointKey:
    """Every file of a local checkpoint, its COMMIT.json last."""
    key = CheckpointKey(prefix=job.checkpoint(examples, attempt), examples=examples, attempt=attempt)
    for path in sorted(p for p in folder.iterdir() if p.is_file() and p.name != COMMIT):
        store.put_file(key.prefix + path.name, path)
    store.put(key.commit, (folder / COMMIT).read_bytes())
    return key


def newest(
    store: Store, job: Layout, folder: Path, report: Callable[[str, str], None]
) -> tuple[CheckpointKey, Path] | None:
    """The newest checkpoint that is whole, downloaded and checked; a damaged one is reported and passed over."""
    for key in committed(store, job):
        try:
            return key, fetch(store, key, folder)
        except (Damaged, NotFound) as error:
            report("checkpoint_damaged", f"{store.locate(key.prefix)}: {error}; trying an older one")
    return None


def fetch(store: Store, key: CheckpointKey, folder: Path) -> Path:
    """A checkpoint as a local folder, every file held to COMMIT's size and sha256. Raises Damaged."""
    target = folder / key.prefix.rstrip("/").rpartition("/")[2]
    target.mkdir(parents=True, exist_ok=True)
    commit = store.get(key.commit)
    for name, entry in _files(commit).items():
        path = target / name
        if not (path.is_file() and _sha256(path) == entry["sha256"]):
            store.get_file(key.prefix + name, path)
            if _sha256(path) != entry["sha256"]:
                raise Damaged(f"{name} has {path.stat().st_size} bytes of another content; COMMIT says {entry['size']}")
    (target / COMMIT).write_bytes(commit)
    return target


def _files(commit: bytes) -> dict[str, dict]:
    try:
        files = json.loads(commit)["files"]
    except (ValueError, KeyError, TypeError):
        raise Damaged("COMMIT.json is not readable") from None
    unsafe = [name for name in files if "/" in name or name.startswith(".")]
    if unsafe:
        raise Damaged(f"COMMIT.json names {unsafe[0]!r}, which is no file of a checkpoint")
    return files


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
    """COMMIT goes first: a crash in between leaves no checkpoint that only seems whole."""
    store.delete(key.commit)
    for info in list(store.list(key.prefix)):
        store.delete(info.key)
