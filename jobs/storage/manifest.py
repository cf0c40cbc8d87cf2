"""The end of a job: the database accepts one manifest's digest, then what it names is put in its place, MANIFEST last.

Until then everything lies under keys that one attempt alone writes, each once, and the manifest's own bytes under
their digest. So whoever holds the accepted digest can finish the job, and however many do, and however late, they
write the same bytes to the same keys.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, Protocol, TypeVar

import yaml

from jobs import digest
from jobs.storage import layout
from jobs.storage.layout import Layout, parse_drawn_grid
from jobs.store import NotFound, Store, StoreError
from jobs.wire import File, Message

THREADS = 8


class Manifest(Message):
    """What every manifest says; each kind's driver adds what is its own."""

    version: Literal[1] = 1
    project: str
    job_name: str
    job_id: str
    kind: str
    files: tuple[File, ...]
    readme: File | None = None  # null: of a manifest from before it was named

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.files)


M = TypeVar("M", bound=Manifest)


class Committer(Protocol):
    def commit(self, sha256: str) -> None: ...


def made_by(store: Store, job: Layout, attempt: int) -> list[File]:
    """Return what an attempt made to be published, and of the grids the newest of each, whichever attempt up to it drew them."""
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


def head(job: Layout, files: Sequence[File]) -> dict[str, Any]:
    """Return the fields that a manifest has of its job, the files in order."""
    names = {"project": job.project, "job_name": job.job_name, "job_id": job.job_id}
    return {**names, "files": tuple(sorted(files, key=lambda file: file.key))}


def publish(store: Store, job: Layout, client: Committer, manifest: M, readme: str, attempt: int) -> M:
    """Commit what an attempt made, then put it in its place; returns the manifest. Raises Stale."""
    card_key = job.draft(attempt, job.readme)
    store.put(card_key, readme.encode())
    whole = manifest.model_copy(update={"readme": _stored(store, job, card_key, job.readme.removeprefix(job.prefix))})
    body = (json.dumps(whole.plain(), indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
    sha256 = digest.of_bytes(body)
    store.put(job.manifest_body(sha256), body)
    client.commit(sha256)
    return _finish(store, job, sha256, type(manifest))


def published(store: Store, job: Layout, client: Committer, kind: type[M], accepted: str | None) -> M | None:
    """Return what an earlier attempt committed, finished if it could not; None while nothing is committed. Raises Stale.

    An open commit is never taken back: the attempt that made it may be late, and put its manifest all the same.
    """
    if accepted is None:
        return _from_before(store, job, client, kind)
    client.commit(accepted)
    return _finish(store, job, accepted, kind)


def _from_before(store: Store, job: Layout, client: Committer, kind: type[M]) -> M | None:
    """Commit a manifest that was put before jobs kept the accepted digest: it is the job's."""
    body = _found(store, job.manifest)
    if body is None:
        return None
    client.commit(digest.of_bytes(body))
    return kind.model_validate_json(body)


def _finish(store: Store, job: Layout, accepted: str, kind: type[M]) -> M:
    """Bring everything to its fixed key, MANIFEST last. What is there from another finisher has the same bytes."""
    there = _found(store, job.manifest)
    if there is not None and digest.of_bytes(there) != accepted:
        raise StoreError(
            f"{store.locate(job.manifest)}: not the manifest that was accepted (sha256 {accepted}); move it away and "
            f"retry the job: the accepted one is {store.locate(job.manifest_body(accepted))}"
        )
    body = there or _waiting(store, job, accepted)
    manifest = kind.model_validate_json(body)
    if there is None:
        _put_in_place(store, job, manifest, accepted)
        store.put(job.manifest, body)
    _hint(store, job, accepted)
    return manifest


def _waiting(store: Store, job: Layout, accepted: str) -> bytes:
    """Return the accepted manifest's bytes, which were put before the database was asked."""
    body = store.get(job.manifest_body(accepted))
    if digest.of_bytes(body) != accepted:
        raise StoreError(f"{store.locate(job.manifest_body(accepted))}: damaged; its sha256 is not its name")
    return body


def _put_in_place(store: Store, job: Layout, manifest: Manifest, accepted: str) -> None:
    moved = [file for file in (*manifest.files, manifest.readme) if file and file.source]
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda file: store.copy(f"{job.prefix}{file.source}", job.prefix + file.key), moved))
    _remove_orphans(store, job, [*manifest.files, *moved], accepted)
    store.put(job.sha256sums, "".join(f"{file.sha256}  {file.key}\n" for file in manifest.files).encode())


def _remove_orphans(store: Store, job: Layout, files: Iterable[File], accepted: str) -> None:
    """Remove what the accepted manifest does not name, of attempts that died: nobody needs it any more, and a reader of
    the data set's folder would count it."""
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
    """Let LATEST name the newest job of the name; one that finishes late does not take it back."""
    key = layout.latest(job.project, job.job_name)
    if _hinted(_found(store, key)) <= job.job_id:
        store.put(key, json.dumps({"job_id": job.job_id, "manifest": accepted}).encode())


def _hinted(body: bytes | None) -> str:
    try:
        return str(json.loads(body or b"{}").get("job_id", ""))
    except (ValueError, AttributeError):
        return ""  # it is only a hint: one that cannot be read is replaced


def card(header: Mapping[str, Any], title: str, text: str) -> str:
    """Return a README with the YAML header that Hugging Face reads."""
    return f"---\n{yaml.safe_dump(dict(header), sort_keys=False)}---\n\n# {title}\n\n{text}\n"
