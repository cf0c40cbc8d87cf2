"""Sample i depends on (seed, i) alone."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainers.config import Latent
from trainers.gan.registry import build
from trainers.generation.latents import latent_rows, uniforms
from trainers.generation.sampling import DamagedModel, Sampler, save_model, to_bytes
from trainers.randomness.permutation import permuted

PARAMS = {"base_channels": 8, "latent": {"dim": 10}}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sampling") / "model"
    torch.manual_seed(0)
    generator = build("dcgan", PARAMS, shape=(3, 16, 16), classes=None).networks()["generator"]
    inputs = {"real": {"shape": [3, 16, 16], "classes": None}}
    config = {"family": "dcgan", "params": PARAMS, "inputs": inputs, "class_names": None}
    save_model(folder, {"generator": generator.state_dict()}, config)
    return folder


@pytest.fixture(scope="module")
def sampler(model: Path) -> Sampler:
    return Sampler.load(model)


@pytest.fixture(scope="module")
def whole(sampler: Sampler) -> np.ndarray:
    return sampler.samples(0, 300, seed=7)[0]


def test_shape_type_and_variety(whole: np.ndarray):
    assert whole.shape == (300, 3, 16, 16)
    assert whole.dtype == np.uint8
    assert len(np.unique(whole.reshape(300, -1), axis=0)) == 300


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (63, 65), (64, 128), (5, 300), (299, 300), (17, 17)])
def test_any_range_has_the_bytes_of_the_whole(sampler: Sampler, whole: np.ndarray, start: int, stop: int):
    samples, labels = sampler.samples(start, stop, seed=7)
    assert samples.tobytes() == whole[start:stop].tobytes()
    assert labels is None


@pytest.mark.parametrize("threads", [1, 2])
def test_shards_and_threads_change_nothing(model: Path, whole: np.ndarray, threads: int):
    before = torch.get_num_threads()
    try:
        sampler = Sampler.load(model, threads=threads)
        shards = [sampler.samples(start, min(start + 70, 300), seed=7)[0] for start in range(0, 300, 70)]
    finally:
        torch.set_num_threads(before)
    assert np.concatenate(shards).tobytes() == whole.tobytes()


def test_seeds_differ(sampler: Sampler, whole: np.ndarray):
    assert not np.array_equal(sampler.samples(0, 10, seed=8)[0], whole[:10])


def test_a_range_of_the_stream_is_part_of_the_whole():
    assert np.array_equal(uniforms(range(5, 9), 7, 1, "x"), uniforms(range(20), 7, 1, "x")[5:9])


def test_normal_latents_are_normal():
    drawn = latent_rows(Latent(dim=64), range(2000), seed=1, truncation=None)
    assert abs(float(drawn.mean())) < 0.01
    assert abs(float(drawn.std()) - 1) < 0.01
    assert abs(float((drawn.abs() > 1.96).float().mean()) - 0.05) < 0.005


def test_truncated_latents_are_a_truncated_normal():
    drawn = latent_rows(Latent(dim=64), range(2000), seed=1, truncation=0.8)
    assert float(drawn.abs().max()) <= 0.8
    assert abs(float(drawn.std()) - 0.4424) < 0.005  # of N(0, 1) within ±0.8: √(1 − 2·0.8·φ(0.8) / (2Φ(0.8) − 1))


def test_uniform_latents_span_minus_one_to_one():
    drawn = latent_rows(Latent(dim=64, distribution="uniform"), range(2000), seed=1, truncation=None)
    assert -1 < float(drawn.min()) < -0.99
    assert 0.99 < float(drawn.max()) < 1


def test_bytes_are_rounded_and_clamped():
    assert to_bytes(torch.tensor([-1.1, -1.0, 0.0, 0.5, 1.0, 1.1])).tolist() == [0, 0, 128, 191, 255, 255]


@given(size=st.integers(1, 500), seed=st.integers(0, 5))
def test_permuted_is_a_permutation_by_index(size: int, seed: int):
    places = permuted(np.arange(size), size, seed)
    assert sorted(places) == list(range(size))
    assert np.array_equal(permuted(np.arange(size // 2, size), size, seed), places[size // 2 :])


def test_a_permutation_of_many_is_not_the_identity_and_depends_on_its_key():
    one, other = (permuted(np.arange(1000), 1000, seed) for seed in (1, 2))
    assert (one == np.arange(1000)).sum() < 20
    assert (one == other).sum() < 20
    assert abs(np.corrcoef(one, np.arange(1000))[0, 1]) < 0.1


class Labelled:
    """A sampler of a family that reports its labels: what classes do, without a conditional family."""

    def __init__(self, model: Path) -> None:
        self.sampler = Sampler.load(model)
        self.sampler.classes, self.sampler.class_names = 3, ("ant", "bee", "cat")

    def labels(self, start: int, stop: int, **given) -> list[int]:
        labels = self.sampler.samples(start, stop, seed=1, **given)[1]
        assert labels is not None
        return labels.tolist()


@pytest.fixture
def labelled(model: Path) -> Labelled:
    return Labelled(model)


def test_balanced_labels_are_equally_many_by_index_and_out_of_order(labelled: Labelled):
    labels = labelled.labels(0, 100, classes="balanced", total=100)
    assert sorted(np.bincount(labels)) == [33, 33, 34]
    assert labelled.labels(10, 90, classes="balanced", total=100) == labels[10:90]
    assert labels != [i % 3 for i in range(100)]


def test_chosen_classes_by_name_or_number(labelled: Labelled):
    assert set(labelled.labels(0, 10, classes=["cat", 0], total=10)) == {0, 2}
    assert labelled.labels(0, 3, classes="bee", total=3) == [1, 1, 1]


def test_drawn_labels_need_no_total(labelled: Labelled):
    labels = labelled.labels(0, 600)
    assert np.bincount(labels).min() > 150
    assert labelled.labels(100, 200) == labels[100:200]


@pytest.mark.parametrize(
    ("given_classes", "total", "message"),
    [(["dog"], 5, "no class 'dog'; there are ant, bee, cat"), ([3], 5, "no class 3"), ("balanced", None, "total")],
)
def test_wrong_classes_are_named(labelled: Labelled, given_classes, total, message: str):
    with pytest.raises(ValueError, match=message):
        labelled.labels(0, 5, classes=given_classes, total=total)


def test_a_model_without_classes_says_so(sampler: Sampler):
    with pytest.raises(ValueError, match="this model has no classes"):
        sampler.samples(0, 1, seed=0, classes="balanced", total=1)


@pytest.mark.parametrize("damage", ["no config", "no weights", "cut weights", "other weights", "other version"])
def test_a_damaged_model_is_named(model: Path, tmp_path: Path, damage: str):
    folder = shutil.copytree(model, tmp_path / "model")
    weights, config = folder / "generator.safetensors", folder / "config.json"
    match damage:
        case "no config":
            config.unlink()
        case "no weights":
            weights.unlink()
        case "cut weights":
            weights.write_bytes(weights.read_bytes()[:-10])
        case "other weights":
            config.write_text(config.read_text().replace('"dim": 10', '"dim": 11'))
        case "other version":
            config.write_text(json.dumps(json.loads(config.read_text()) | {"version": 9}))
    with pytest.raises(DamagedModel, match=str(folder)):
        Sampler.load(folder)
