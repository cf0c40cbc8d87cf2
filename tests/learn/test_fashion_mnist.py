"""Every family learns real clothes: its kernel distance to held-out pictures falls from untrained over half-way to the end.

Run by hand: make learn (minutes each, on one thread). GANWORKS_GRIDS=FOLDER keeps the grids there, as docs/grids does.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from jobs.datasets import prepare
from jobs.specs.spec import Data
from tests.learn import recipes
from tests.learn.kid import Features, kid
from tests.support.models import as_model
from trainers.data.packed import PackedData
from trainers.gan.registry import built_in
from trainers.generation.sampling import Sampler, sampled_networks
from trainers.loop import NoHooks, Settings, train
from trainers.monitoring.grids import save_grid

SIDE, BATCH, SAMPLES = 16, 32, 2000
GRIDS = os.environ.get("GANWORKS_GRIDS")


class Halfway(NoHooks):
    """Keeps the first checkpoint."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def checkpoint(self, folder: Path, examples: int) -> None:
        if not self._folder.exists():
            as_model(folder, self._folder)


Clothes = Callable[[str], PackedData]


@pytest.fixture(scope="module")
def clothes(mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clothes]:
    """split -> pictures"""
    cache = tmp_path_factory.mktemp("clothes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANWORKS_DATA_MIRROR", str(mirror))
        yield lambda split: prepare(Data(source="fashion-mnist", resolution=SIDE, split=split), cache, lambda *_: None)


@pytest.fixture(scope="module")
def features() -> Features:
    return Features()


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("family", built_in())
def test_it_gets_nearer_to_real_clothes_all_the_way(
    family: str, clothes: Clothes, features: Features, tmp_path: Path
) -> None:
    params, examples = recipes.CLOTHES[family]
    data, held_out = clothes("train"), clothes("test")
    settings = Settings(
        family=family, params=params, examples=examples, batch_size=BATCH, group=BATCH, seed=0, precision="fp32",
        checkpoint_every=examples // 2, grid_every=10**9, grid_count=64, threads=1, device="cpu",
    )  # fmt: skip
    halfway = Halfway(tmp_path / "half")
    outcome = train(settings, data, workspace=tmp_path, resume=None, hooks=halfway)
    assert outcome.model
    pictures = [untrained(settings, data)] + [drawn(model) for model in (tmp_path / "half", outcome.model)]
    real = features(np.array(held_out.samples[:SAMPLES]))
    distances = [kid(features(samples), real) for samples in pictures]
    print(
        f"{family}, {examples} examples: untrained, half-way, end: {[round(each, 3) for each in distances]}", flush=True
    )
    if GRIDS:
        save_grid(pictures[-1][:64], Path(GRIDS) / f"{family}.png")
    assert distances[2] < distances[1] < distances[0]


def untrained(settings: Settings, data: PackedData) -> np.ndarray:
    built = settings.build_family(data)
    sampler = Sampler(built, sampled_networks(built), device=torch.device("cpu"))
    return sampler.samples(0, SAMPLES, seed=1)[0]


def drawn(model: Path) -> np.ndarray:
    return Sampler.load(model).samples(0, SAMPLES, seed=1)[0]
