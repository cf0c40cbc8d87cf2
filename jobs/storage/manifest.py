"""The end of a job: the database accepts the manifest's digest, then MANIFEST is put, last and once.

A manifest says nothing of attempts or clocks, so that a second attempt that finds all the work done
writes the same bytes.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import yaml

from jobs.storage import layout
from jobs.storage.layout import Layout
from jobs.store import AlreadyExists, NotFound, Store


@dataclass(frozen=True, kw_only=True)
class File:
    """One published object; `key` is relative to the job's prefix."""

    key: str
    size: int  # bytes
    sha256: str


class Committer(Protocol):
    def commit(self, sha256: str) -> None: ...


def stored_files(store: Store, job: Layout, *prefixes: str) -> list[File]:
    """What lies below some of a job's prefixes, by the digests it was put with."""
    infos = [info for prefix in prefixes for info in store.list(prefix)]
    return [File(key=info.key[len(job.prefix) :], size=info.size, sha256=store.sha256(info.key)) for info in infos]


def publish(
    store: Store, job: Layout, client: Committer, *, files: list[File], about: dict[str, Any], readme: str
) -> dict[str, Any]:
    """MANIFEST.json, SHA256SUMS, README.md and LATEST.json; returns the manifest. Raises Stale."""
    ordered = sorted(files, key=lambda file: file.key)
    manifest = {"version": 1, "project": job.project, "job_name": job.job_name, "job_id": job.job_id, **about}
    manifest["files"] = [asdict(file) for file in ordered]
    body = (json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
    store.put(job.readme, readme.encode())
    store.put(job.sha256sums, "".join(f"{file.sha256}  {file.key}\n" for file in ordered).encode())
    client.commit(hashlib.sha256(body).hexdigest())
    try:
        store.put(job.manifest, body, if_absent=True)
    except AlreadyExists:
        return published(store, job, client) or manifest
    _hint(store, job, body)
    return manifest


def published(store: Store, job: Layout, client: Committer) -> dict[str, Any] | None:
    """The manifest that an earlier attempt put before it was lost: accepted as it is, never written over."""
    try:
        body = store.get(job.manifest)
    except NotFound:
        return None
    client.commit(hashlib.sha256(body).hexdigest())
    _hint(store, job, body)
    return json.loads(body)


def _hint(store: Store, job: Layout, manifest: bytes) -> None:
    hint = {"job_id": job.job_id, "manifest": hashlib.sha256(manifest).hexdigest()}
    store.put(layout.latest(job.project, job.job_name), json.dumps(hint).encode())


def card(header: dict[str, Any], title: str, text: str) -> str:
    """A README with the YAML header that Hugging Face reads."""
    return f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n\n# {title}\n\n{text}\n"
