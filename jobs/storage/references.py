"""`from: NAME` -> URI and sha256, once, before the first attempt.

A second attempt must never mix two generators: what a reference meant is pinned in the job's row.
"""

import json
from dataclasses import dataclass

from jobs.specs.spec import ModelRef
from jobs.storage import layout
from jobs.storage.layout import AVERAGE, CONFIG, STATE, WEIGHTS, Layout
from jobs.store import NotFound, Store
from jobs.wire import PinnedModel


class Unresolved(ValueError):
    """A reference that names nothing finished."""


@dataclass(frozen=True, kw_only=True)
class UpstreamJob:
    """The job that `from: NAME` stands for: the newest success of that name."""

    job_name: str
    job_id: str


def pin(store: Store, project: str, reference: ModelRef, upstream: UpstreamJob | None) -> PinnedModel:
    """Return what a reference to a generator means now. Raises Unresolved."""
    if reference.uri is not None:
        return _pinned(store, _own_key(store, reference.uri), reference.uri)
    if upstream is None:
        raise Unresolved(f"model.from: no job {reference.from_!r} has succeeded in project {project}")
    job = Layout(project=project, job_name=upstream.job_name, job_id=upstream.job_id)
    if isinstance(reference.checkpoint, int):
        said = f"{upstream.job_name} at {reference.checkpoint} examples"
        return _pinned(store, _checkpoint(store, job, reference.checkpoint), said, AVERAGE, STATE)
    return _pinned(store, job.model_prefix, upstream.job_name)


def _own_key(store: Store, uri: str) -> str:
    root = store.locate("")
    if not uri.startswith(root):
        raise Unresolved(f"model.uri: {uri!r} is not in this server's store, {root}")
    return uri[len(root) :].strip("/") + "/"


def _checkpoint(store: Store, job: Layout, examples: int) -> str:
    found = {}
    for info in store.list(job.checkpoints_prefix):
        if commit := layout.parse_commit_key(info.key):
            found[commit.examples] = commit.prefix
    if examples not in found:
        choices = ", ".join(map(str, sorted(found))) or "none"
        raise Unresolved(
            f"model.checkpoint: {job.job_name} has no checkpoint at {examples} examples; it has: {choices}"
        )
    return found[examples]


def _pinned(store: Store, folder: str, said: str, weights: str = WEIGHTS, config_name: str = CONFIG) -> PinnedModel:
    try:
        config = json.loads(store.get(folder + config_name))
        digest = store.sha256(folder + weights)
    except NotFound:
        raise Unresolved(f"model: {said}: no trained generator at {store.locate(folder)}") from None
    return PinnedModel(uri=folder, weights=weights, config=config_name, sha256=digest, examples=config.get("examples"))
