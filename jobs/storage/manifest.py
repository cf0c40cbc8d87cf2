"""The end of a job: the database accepts one manifest's digest, then what it names is put in its place, MANIFEST last.

Until then everything lies under keys that one attempt alone writes, each once, and the manifest's own bytes under
their digest. So whoever holds the accepted digest can finish the job, and however many do, and however late, they
write the same bytes to the same keys.
"""

import hashlib
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import yaml

from jobs.storage import layout
from jobs.storage.layout import Layout, parse_drawn_grid
from jobs.store import NotFound, Store, StoreError

THREADS = 8


@dataclass(frozen=True, kw_only=True)
class File:
    """One published object; keys are relative to the job's prefix."""

    key: str
    size: int  # bytes
    sha256: str
    source: str | None = None  # where an attempt put it, to be copied to `key` after the commit; None: at `key` itself

    def described(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None}


class Committer(Protocol):
    def commit(self, sha256: str) -> None: ...


def made_by(store: Store, job: Layout, attempt: int) -> list[File]:
    """What an attempt made to be published, and of the grids the newest of each, whichever attempt up to it drew them."""
    own = job.attempt_prefix(attempt)
    published_at = {info.key: info.key.removeprefix(own) for info in store.list(own)}
    published_at.pop(job.draft(attempt, job.readme), None)  # of an earlier try; it is written with the manifest
    drawn = [grid for info in store.list(job.attempts_prefix) if (grid := parse_drawn_grid(job, info.key))]
    plain = {key: target for key, target in published_at.items() if not target.startswith("grids/")}
    grids = {grid.examples: grid.key for grid in sorted(drawn) if grid.attempt <= attempt}
    places = plain | {key: job.grid(examples).removeprefix(job.prefix) for examples, key in grids.items()}
    return [_stored(store, job, key, target) for key, target in places.items()]


def _stored(store: Store, job: Layout, source: str, key: str) -> File:
    info = store.head(source)
    if info is None:
        raise NotFound(f"{store.locate(source)}: it was listed, and is not there")
    return File(key=key, size=info.size, sha256=store.sha256(source), source=source.removeprefix(job.prefix))


def publish(
    store: Store,
    job: Layout,
    line: Committer,
    *,
    attempt: int,
    files: Iterable[File],
    about: dict[str, Any],
    readme: str,
) -> dict[str, Any]:
    """Commit what an attempt made, then put it in its place; returns the manifest. Raises Stale."""
    card_key = job.draft(attempt, job.readme)
    store.put(card_key, readme.encode())
    manifest = {"version": 1, "project": job.project, "job_name": job.job_name, "job_id": job.job_id, **about}
    manifest["files"] = [file.described() for file in sorted(files, key=lambda file: file.key)]
    manifest["readme"] = _stored(store, job, card_key, job.readme.removeprefix(job.prefix)).described()
    body = (json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
    digest = hashlib.sha256(body).hexdigest()
    store.put(job.manifest_body(digest), body)
    line.commit(digest)
    return _finish(store, job, digest)


def published(store: Store, job: Layout, line: Committer, accepted: str | None) -> dict[str, Any] | None:
    """What an earlier attempt committed, finished if it could not; None while nothing is committed. Raises Stale.

    An open commit is never taken back: the attempt that made it may be late, and put its manifest all the same.
    """
    if accepted is None:
        return _from_before(store, job, line)
    line.commit(accepted)
    return _finish(store, job, accepted)


def _from_before(store: Store, job: Layout, line: Committer) -> dict[str, Any] | None:
    """A manifest that was put before jobs kept the accepted digest: it is the job's."""
    body = _found(store, job.manifest)
    if body is None:
        return None
    line.commit(hashlib.sha256(body).hexdigest())
    return json.loads(body)


def _finish(store: Store, job: Layout, accepted: str) -> dict[str, Any]:
    """Everything to its fixed key, MANIFEST last. What is there from another finisher has the same bytes."""
    there = _found(store, job.manifest)
    if there is not None and hashlib.sha256(there).hexdigest() != accepted:
        raise StoreError(
            f"{store.locate(job.manifest)}: not the manifest that was accepted (sha256 {accepted}); move it away and "
            f"retry the job: the accepted one is {store.locate(job.manifest_body(accepted))}"
        )
    body = there or _waiting(store, job, accepted)
    manifest = json.loads(body)
    if there is None:
        _put_in_place(store, job, manifest, accepted)
        store.put(job.manifest, body)
    _hint(store, job, accepted)
    return manifest


def _waiting(store: Store, job: Layout, accepted: str) -> bytes:
    """The accepted manifest's bytes, which were put before the database was asked."""
    body = store.get(job.manifest_body(accepted))
    if hashlib.sha256(body).hexdigest() != accepted:
        raise StoreError(f"{store.locate(job.manifest_body(accepted))}: damaged; its sha256 is not its name")
    return body


def _put_in_place(store: Store, job: Layout, manifest: dict[str, Any], accepted: str) -> None:
    files = [File(**file) for file in manifest["files"]]
    moved = [file for file in [*files, File(**manifest["readme"])] if file.source]
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda file: store.copy(f"{job.prefix}{file.source}", job.prefix + file.key), moved))
    _remove_orphans(store, job, [*files, *moved], accepted)
    store.put(job.sha256sums, "".join(f"{file.sha256}  {file.key}\n" for file in files).encode())


def _remove_orphans(store: Store, job: Layout, files: Iterable[File], accepted: str) -> None:
    """What the accepted manifest does not name, of attempts that died: nobody needs it any more, and a reader of the
    data set's folder would count it."""
    named = {job.prefix + key for file in files for key in (file.key, file.source) if key}
    named.add(job.manifest_body(accepted))
    for prefix in (job.data_prefix, job.attempts_prefix, job.manifests_prefix):
        for info in list(store.list(prefix)):
            if info.key not in named:
                store.delete(info.key)


def _found(store: Store, key: str) -> bytes | None:
    try:
        return store.get(key)
    except NotFound:
        return None


def _hint(store: Store, job: Layout, accepted: str) -> None:
    """LATEST names the newest job of the name; one that finishes late does not take it back."""
    key = layout.latest(job.project, job.job_name)
    if _hinted(_found(store, key)) <= job.job_id:
        store.put(key, json.dumps({"job_id": job.job_id, "manifest": accepted}).encode())


def _hinted(body: bytes | None) -> str:
    try:
        return str(json.loads(body or b"{}").get("job_id", ""))
    except (ValueError, AttributeError):
        return ""  # it is only a hint: one that cannot be read is replaced


def card(header: dict[str, Any], title: str, text: str) -> str:
    """A README with the YAML header that Hugging Face reads."""
    return f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n\n# {title}\n\n{text}\n"
