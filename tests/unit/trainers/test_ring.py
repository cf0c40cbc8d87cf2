"""Vectors: packed, trained on, sampled and drawn."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from trainers.data.pack import pack
from trainers.data.readers.ring import MODES, Ring, centres, found
from trainers.gan.registry import get
from trainers.generation.sampling import Sampler
from trainers.hooks import NoHooks
from trainers.loop import train
from trainers.settings import Settings


def test_the_ring_has_eight_heaps(tmp_path: Path):
    data = pack(Ring(count=400), tmp_path / "ring", resolution=None)
    assert (data.shape, data.dtype, data.classes) == ((2, 1, 1), "float32", MODES)
    counts, share = found(np.asarray(data.samples))
    assert (counts > 20).all()
    assert share > 0.95
    assert np.abs(centres()).max() < 1


def test_a_vector_depends_on_seed_and_index_alone():
    assert np.array_equal(Ring(count=3).picture(2, None)[0], Ring(count=99).picture(2, None)[0])
    assert not np.array_equal(Ring(seed=1).picture(2, None)[0], Ring().picture(2, None)[0])


def test_a_training_on_vectors_gives_vectors(tiny: Callable[..., Settings], tmp_path: Path):
    data = pack(Ring(count=100), tmp_path / "ring", resolution=None)
    settings = tiny(family="gan", params=get("gan").tiny())
    outcome = train(settings, data, workspace=tmp_path / "run", resume=None, hooks=NoHooks())
    assert outcome.model is not None
    assert outcome.grid is not None
    samples, _ = Sampler.load(outcome.model).samples(3, 10, seed=0)
    assert (samples.shape, samples.dtype) == ((7, 2, 1, 1), np.float32)
    with Image.open(outcome.grid) as picture:
        assert picture.size == (400, 400)
