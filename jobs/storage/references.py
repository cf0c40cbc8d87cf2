"""`from: NAME` -> URI and sha256, once, before the first attempt.

A second attempt must never mix two generators: what a reference meant is pinned in the job's row.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jobs.specs.spec import ModelRef
from jobs.storage import checkpoints, class_names
from jobs.storage.layout import AVERAGE, CONFIG, STATE, Layout
from jobs.store import NotFound, Store, StoreError
from jobs.wire import PinnedModel, PinnedWeights, Recorded


class Unresolved(ValueError):
    """A reference that names nothing finished."""


@dataclass(frozen=True, kw_only=True)
class UpstreamJob:
    """The job that `from: NAME` stands for: the newest success of that name."""

    job_name: str
    job_id: str
    lineage: Sequence[Recorded] | None = None  # its checkpoints as the database has them; None: never recorded


def pin(store: Store, project: str, reference: ModelRef, upstream: UpstreamJob | None) -> PinnedModel:
    """Return what a reference to a generator means now. Raises Unresolved."""
    if reference.uri is not None:
        return _pinned(store, _own_key(store, reference.uri), reference.uri)
    if upstream is None:
        raise Unresolved(f"model.from: no job {reference.from_!r} has succeeded in project {project}")
    job = Layout(project=project, job_name=upstream.job_name, job_id=upstream.job_id)
    if isinstance(reference.checkpoint, int):
        said = f"{upstream.job_name} at {reference.checkpoint} examples"
        return _pinned(store, _checkpoint(store, job, reference.checkpoint, upstream.lineage), said, STATE)
    return _pinned(store, _model_folder(store, job), upstream.job_name)


def _model_folder(store: Store, job: Layout) -> str:
    """Say where the attempt that succeeded put its model: nobody else writes there.

    At the fixed key if no manifest says.
    """
    published = f"{job.model_prefix}{CONFIG}".removeprefix(job.prefix)
    try:
        files = json.loads(store.get(job.manifest))["files"]
        source = next((file.get("source") for file in files if file["key"] == published), None)
    except NotFound:
        source = None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StoreError(f"{store.locate(job.manifest)}: not readable as a manifest") from None
    return f"{job.prefix}{source or published}".removesuffix(CONFIG)


def _own_key(store: Store, uri: str) -> str:
    root = store.locate("")
    if not uri.startswith(root):
        raise Unresolved(f"model.uri: {uri!r} is not in this server's store, {root}")
    return uri[len(root) :].strip("/") + "/"


def _checkpoint(store: Store, job: Layout, examples: int, lineage: Sequence[Recorded] | None) -> str:
    known = checkpoints.committed(store, job) if lineage is None else checkpoints.recorded(job, lineage)
    found = {key.examples: key.prefix for key in reversed(known)}
    if examples not in found:
        choices = ", ".join(map(str, sorted(found))) or "none"
        raise Unresolved(
            f"model.checkpoint: {job.job_name} has no checkpoint at {examples} examples; it has: {choices}"
        )
    return found[examples]


def _pinned(store: Store, folder: str, said: str, config_name: str = CONFIG) -> PinnedModel:
    try:
        config = json.loads(store.get(folder + config_name))
        weights = tuple(
            PinnedWeights(name=name, file=file, sha256=store.sha256(folder + file))
            for name, file in _weights(config, is_checkpoint=config_name == STATE).items()
        )
    except NotFound:
        raise Unresolved(f"model: {said}: no trained generator at {store.locate(folder)}") from None
    names, labels = class_names.of_config(config.get("model", config))  # a checkpoint keeps it inside its state
    return PinnedModel(
        uri=folder,
        config=config_name,
        weights=weights,
        examples=config.get("examples"),
        class_names=names,
        class_labels=labels,
    )


def _weights(config: dict[str, Any], *, is_checkpoint: bool) -> dict[str, str]:
    """Return the file in a model folder of each network that samples are drawn with -> the file that it is now."""
    networks = config.get("model", config).get("networks") or {"generator": AVERAGE}
    return {f"{name}.safetensors": file if is_checkpoint else f"{name}.safetensors" for name, file in networks.items()}
