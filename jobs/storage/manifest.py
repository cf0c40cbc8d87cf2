"""The end of a job: the database accepts the manifest's digest, then MANIFEST is put, last and once.

A manifest says nothing of attempts or clocks, so that a second attempt that finds all the work done
writes the same bytes.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, TypeVar

import yaml

from jobs import digest
from jobs.storage import layout
from jobs.storage.layout import Layout
from jobs.store import AlreadyExists, NotFound, Store
from jobs.wire import File, Message


class Manifest(Message):
    """What every manifest says; each kind's driver adds what is its own."""

    version: Literal[1] = 1
    project: str
    job_name: str
    job_id: str
    kind: str
    files: tuple[File, ...]

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.files)


M = TypeVar("M", bound=Manifest)


class Committer(Protocol):
    def commit(self, sha256: str) -> None: ...


def stored_files(store: Store, job: Layout, *prefixes: str) -> list[File]:
    """Return what lies below some of a job's prefixes, by the digests it was put with."""
    infos = [info for prefix in prefixes for info in store.list(prefix)]
    return [File(key=info.key[len(job.prefix) :], size=info.size, sha256=store.sha256(info.key)) for info in infos]


def head(job: Layout, files: Sequence[File]) -> dict[str, Any]:
    """Return the fields that a manifest has of its job, the files in order."""
    names = {"project": job.project, "job_name": job.job_name, "job_id": job.job_id}
    return {**names, "files": tuple(sorted(files, key=lambda file: file.key))}


def publish(store: Store, job: Layout, client: Committer, manifest: M, readme: str) -> M:
    """Put README.md, SHA256SUMS, MANIFEST.json and LATEST.json; returns the manifest that counts. Raises Stale."""
    plain = manifest.model_dump(mode="json")
    body = (json.dumps(plain, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
    store.put(job.readme, readme.encode())
    store.put(job.sha256sums, "".join(f"{file.sha256}  {file.key}\n" for file in manifest.files).encode())
    client.commit(digest.of_bytes(body))
    try:
        store.put(job.manifest, body, if_absent=True)
    except AlreadyExists:
        return published(store, job, client, type(manifest)) or manifest
    _hint(store, job, body)
    return manifest


def published(store: Store, job: Layout, client: Committer, kind: type[M]) -> M | None:
    """Return the manifest that an earlier attempt put before it was lost: accepted as it is, never written over."""
    try:
        body = store.get(job.manifest)
    except NotFound:
        return None
    client.commit(digest.of_bytes(body))
    _hint(store, job, body)
    return kind.model_validate_json(body)


def _hint(store: Store, job: Layout, manifest: bytes) -> None:
    hint = {"job_id": job.job_id, "manifest": digest.of_bytes(manifest)}
    store.put(layout.latest(job.project, job.job_name), json.dumps(hint).encode())


def card(header: Mapping[str, Any], title: str, text: str) -> str:
    """Return a README with the YAML header that Hugging Face reads."""
    return f"---\n{yaml.safe_dump(dict(header), sort_keys=False)}---\n\n# {title}\n\n{text}\n"
