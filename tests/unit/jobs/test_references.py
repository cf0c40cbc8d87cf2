"""What a reference is pinned to stays what it is."""

import hashlib
import json
from pathlib import Path

import pytest

from jobs.driver.shard_writer import download_model
from jobs.specs.spec import GenerateJob, ModelRef, parse
from jobs.storage import manifest
from jobs.storage.class_names import UnknownClass, with_classes
from jobs.storage.layout import AVERAGE, Layout
from jobs.storage.references import Unresolved, UpstreamJob, pin
from jobs.store import Store, StoreError, open_store
from jobs.wire import File, PinnedModel, Recorded

JOB = Layout(project="default", job_name="shirts", job_id="20260101t000000z-abc123")
UPSTREAM = UpstreamJob(job_name=JOB.job_name, job_id=JOB.job_id, lineage=[])
FROM = ModelRef.model_validate({"from": "shirts"})


class Database:
    def commit(self, sha256: str) -> None:
        pass


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def trained(store: Store, attempt: int) -> list[File]:
    for name, content in (("generator.safetensors", b"weights"), ("config.json", b'{"examples": 9}')):
        store.put(JOB.draft(attempt, JOB.model_prefix + name), content + b" " * attempt)
    return manifest.made_by(store, JOB, attempt)


def test_a_job_is_pinned_to_what_its_attempt_alone_wrote(store: Store, tmp_path: Path) -> None:
    made = trained(store, 2)
    manifest.publish(store, JOB, Database(), manifest.Manifest(**manifest.head(JOB, made), kind="train"), "", 2)
    pinned = pin(store, "default", FROM, UPSTREAM)
    assert pinned.uri == f"{JOB.prefix}attempts/a2/model/"
    assert pinned.weights[0].sha256 == hashlib.sha256(b"weights  ").hexdigest()
    # Whatever a late writer of old did at the fixed key, a job that was pinned before goes on.
    store.put(JOB.model_prefix + "generator.safetensors", b"of a stale attempt")
    trained(store, 1)
    (tmp_path / "model").mkdir()
    download_model(store, pinned, tmp_path / "model")
    assert (tmp_path / "model" / "generator.safetensors").read_bytes() == b"weights  "


def test_a_job_from_before_is_pinned_to_its_fixed_key(store: Store) -> None:
    for name, content in (("generator.safetensors", b"weights"), ("config.json", b"{}")):
        store.put(JOB.model_prefix + name, content)
    for body in (None, b'{"files": [{"key": "model/generator.safetensors"}]}'):
        if body:
            store.put(JOB.manifest, body)
        assert pin(store, "default", FROM, UPSTREAM).uri == JOB.model_prefix
    store.put(JOB.manifest, b"[")
    with pytest.raises(StoreError, match=r"MANIFEST\.json: not readable"):
        pin(store, "default", FROM, UPSTREAM)


def test_every_network_that_samples_are_drawn_with_is_pinned(store: Store, tmp_path: Path) -> None:
    """A checkpoint calls an averaged one otherwise; the model folder has each under its own name."""
    networks = {"mapping": "average-mapping.safetensors", "synthesis": "synthesis.safetensors"}
    state = {"examples": 10, "model": {"family": "styled", "networks": networks}}
    for folder, config, files in (
        (JOB.checkpoint(10, 1), "state.json", networks.values()),
        (JOB.model_prefix, "config.json", [f"{name}.safetensors" for name in networks]),
    ):
        for file in files:
            store.put(folder + file, file.encode())
        store.put(folder + config, json.dumps(state if config == "state.json" else state["model"]).encode())
    store.put(f"{JOB.checkpoint(10, 1)}COMMIT.json", b"{}")
    upstream = UpstreamJob(job_name=JOB.job_name, job_id=JOB.job_id, lineage=[Recorded(folder="000000000010-a1")])
    for reference, mapping in (
        (ModelRef.model_validate({"from": "shirts", "checkpoint": 10}), "average-mapping.safetensors"),
        (FROM, "mapping.safetensors"),
    ):
        model = tmp_path / mapping
        model.mkdir()
        download_model(store, pin(store, "default", reference, upstream), model)
        assert sorted(path.name for path in model.iterdir()) == [
            "config.json",
            "mapping.safetensors",
            "synthesis.safetensors",
        ]
        assert (model / "mapping.safetensors").read_text() == mapping


def test_what_was_pinned_before_a_model_had_several_networks_is_read() -> None:
    before = {"uri": "a/", "weights": "average.safetensors", "config": "state.json", "sha256": "ab", "examples": 3}
    (weights,) = PinnedModel.model_validate(before).weights
    assert (weights.name, weights.file, weights.sha256) == ("generator.safetensors", "average.safetensors", "ab")


def test_a_checkpoint_is_one_of_the_recorded_lineage(store: Store) -> None:
    for folder in ("000000000010-a1", "000000000010-a2", "000000000020-a1"):  # the last one of a stale attempt
        prefix = f"{JOB.checkpoints_prefix}{folder}/"
        store.put(prefix + AVERAGE, folder.encode())
        store.put(prefix + "state.json", json.dumps({"examples": 10}).encode())
        store.put(prefix + "COMMIT.json", b"{}")
    upstream = UpstreamJob(job_name=JOB.job_name, job_id=JOB.job_id, lineage=[Recorded(folder="000000000010-a2")])
    at = ModelRef.model_validate({"from": "shirts", "checkpoint": 10})
    assert pin(store, "default", at, upstream).uri == JOB.checkpoint(10, 2)
    with pytest.raises(Unresolved, match="no checkpoint at 20 examples; it has: 10"):
        pin(store, "default", ModelRef.model_validate({"from": "shirts", "checkpoint": 20}), upstream)


def generating(classes: object) -> GenerateJob:
    document = {"kind": "generate", "name": "more", "model": {"from": "shirts"}, "samples": 10}
    job = parse(document | {"sampling": {"classes": classes}})
    assert isinstance(job, GenerateJob)
    return job


def pinned_with(store: Store, config: dict[str, object]) -> PinnedModel:
    store.put(f"{JOB.model_prefix}generator.safetensors", b"weights")
    store.put(f"{JOB.model_prefix}config.json", json.dumps(config).encode())
    return pin(store, "default", FROM, UPSTREAM)


ELEVEN = {"class_names": [str(n) for n in range(1, 12)], "class_labels": [str(n) for n in range(1, 12)]}  # folders
SPARSE = {"class_names": ["bee", "dog"], "class_labels": [1, 3]}


@pytest.mark.parametrize(
    ("config", "asked", "numbers"),
    [
        (ELEVEN, [10], (9,)),  # the folder "10", not what stands tenth from 0
        (ELEVEN, ["10", 1], (9, 0)),
        (SPARSE, ["dog"], (1,)),
        (SPARSE, [3, 1], (1, 0)),  # labels as the source wrote them
        ({"class_names": ["bee", "dog"]}, [1], (1,)),  # of a model from before labels were kept
        ({"class_names": ["5", "7"]}, [7], (1,)),
        (SPARSE, "balanced", None),
        (SPARSE, None, None),
    ],
)
def test_a_class_is_a_name_and_a_number_is_a_label(
    store: Store, config: dict[str, object], asked: object, numbers: tuple[int, ...] | None
) -> None:
    model = with_classes(generating(asked).sampling, pinned_with(store, config))
    assert (list(model.class_names or ()), model.classes) == (config["class_names"], numbers)


@pytest.mark.parametrize(
    ("config", "asked", "said"),
    [
        (SPARSE, ["cat"], r"sampling\.classes: no class 'cat'; there are 'bee' \(1\), 'dog' \(3\)"),
        (SPARSE, [0], r"no class 0; there are"),
        (ELEVEN, [12], r"no class 12; there are '1', '2'"),
        ({"class_names": None}, [1], r"sampling\.classes: the model was trained without classes; leave it out"),
        ({"class_names": None}, "balanced", "was trained without classes"),
    ],
)
def test_a_class_that_is_not_there_is_refused_with_the_names(
    store: Store, config: dict[str, object], asked: object, said: str
) -> None:
    with pytest.raises(UnknownClass, match=said):
        with_classes(generating(asked).sampling, pinned_with(store, config))
