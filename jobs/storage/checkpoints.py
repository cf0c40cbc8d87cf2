"""Checkpoints in the store: COMMIT.json last, with its parent's name; the database records which may be resumed from.

What has no COMMIT does not exist, and what is not in the recorded lineage is not resumed from: a stale attempt may
still write, under keys of its own, but the database no longer listens to it. So too for deletions: the database gives
a checkpoint up first, then its objects go.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel

from jobs import digest
from jobs.storage.layout import COMMIT, CheckpointKey, Layout, parse_checkpoint_prefix, parse_commit_key
from jobs.store import NotFound, Store
from jobs.wire import Recorded

Lineage = Sequence[CheckpointKey]  # newest first


class Damaged(ValueError):
    """A checkpoint whose content is not what its COMMIT says, or whose COMMIT is not the recorded one."""


def committed(store: Store, job: Layout) -> list[CheckpointKey]:
    """Return every committed checkpoint in the store, those of most examples first, whoever wrote them."""
    found = [key for info in store.list(job.checkpoints_prefix) if (key := parse_commit_key(info.key))]
    return sorted(found, key=lambda key: (key.examples, key.attempt, key.rollbacks), reverse=True)


def recorded(job: Layout, lineage: Iterable[Recorded]) -> list[CheckpointKey]:
    """Return the database's record as keys, newest first."""
    prefixes = ((f"{job.checkpoints_prefix}{entry.folder}/", entry.commit or None) for entry in lineage)
    return [key for prefix, commit in prefixes if (key := parse_checkpoint_prefix(prefix, commit))]


def record(lineage: Lineage) -> list[Recorded]:
    """Return keys as the database records them."""
    return [Recorded(folder=key.folder, commit=key.sha256 or "") for key in lineage]


def upload(
    store: Store,
    job: Layout,
    folder: Path,
    *,
    examples: int,
    attempt: int,
    rollbacks: int = 0,
    parent: CheckpointKey | None = None,
) -> CheckpointKey:
    """Put every file of a local checkpoint, its COMMIT.json last; `parent` is the one it goes on from."""
    prefix = job.checkpoint(examples, attempt, rollbacks)
    key = CheckpointKey(prefix=prefix, examples=examples, attempt=attempt, rollbacks=rollbacks)
    for path in sorted(p for p in folder.iterdir() if p.is_file() and p.name != COMMIT):
        store.put_file(key.prefix + path.name, path)
    said = json.loads((folder / COMMIT).read_bytes()) | {"parent": parent.folder if parent else None}
    commit = json.dumps(said, indent=1).encode()
    store.put(key.commit, commit)
    return replace(key, sha256=digest.of_bytes(commit))


def newest(
    store: Store, lineage: Lineage, folder: Path, report: Callable[[str, str], None]
) -> tuple[CheckpointKey, Path] | None:
    """Return the newest of a lineage that is whole, downloaded and checked; a damaged one is reported and passed over."""
    for key in lineage:
        try:
            return key, fetch(store, key, folder)
        except (Damaged, NotFound) as error:
            report("checkpoint_damaged", f"{store.locate(key.prefix)}: {error}; trying an older one")
    return None


def fetch(store: Store, key: CheckpointKey, folder: Path) -> Path:
    """Return a checkpoint as a local folder, every file held to COMMIT's size and sha256. Raises Damaged."""
    target = folder / key.folder
    target.mkdir(parents=True, exist_ok=True)
    commit = store.get(key.commit)
    if key.sha256 and digest.of_bytes(commit) != key.sha256:
        raise Damaged(f"{COMMIT} is not the one that was recorded")
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


def given_up(store: Store, job: Layout, lineage: Lineage, *, attempt: int) -> list[str]:
    """Return the keys of every checkpoint, whole or torn, that is not in the lineage; those of later attempts are not ours.

    To be listed before the lineage is recorded and removed after: what the database has not given up stays.
    """
    kept = {key.prefix for key in lineage}
    doomed = []
    for info in store.list(job.checkpoints_prefix):
        found = parse_checkpoint_prefix(info.key.rpartition("/")[0] + "/")
        if found and found.attempt <= attempt and found.prefix not in kept:
            doomed.append(info.key)
    return doomed


def remove(store: Store, keys: Iterable[str]) -> None:
    """Remove COMMIT first: a crash in between leaves no checkpoint that only seems whole."""
    for key in sorted(keys, key=lambda key: not key.endswith(f"/{COMMIT}")):
        store.delete(key)
