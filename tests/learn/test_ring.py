"""Eight heaps on a circle: recipes that find all of them, and one that must not. Run by hand: make learn (a minute each).

GANWORKS_GRIDS=FOLDER keeps the plots there, as docs/grids does.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from tests.learn import recipes
from trainers.data.pack import pack
from trainers.data.packed import PackedData
from trainers.data.readers.ring import MODES, Ring, found
from trainers.generation.sampling import Sampler
from trainers.hooks import NoHooks, Tick
from trainers.loop import Outcome, train
from trainers.monitoring.grids import save_grid

GRIDS = os.environ.get("GANWORKS_GRIDS")
SAMPLES = 2000
SEEDS = (0, 1, 2)


class Findings(NoHooks):
    def __init__(self) -> None:
        self.names: dict[str, float] = {}  # finding -> share of the training when it was first named

    def tick(self, tick: Tick) -> str:
        for finding in tick.findings:
            self.names.setdefault(finding.name, tick.examples / tick.total_examples)
        return "continue"


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> PackedData:
    return pack(Ring(), tmp_path_factory.mktemp("ring") / "data", resolution=None)


def heaps(outcome: Outcome, name: str) -> tuple[np.ndarray, float]:
    """How many samples lie in each heap, and the share that lies in any."""
    assert outcome.model
    samples, _ = Sampler.load(outcome.model).samples(0, SAMPLES, seed=1)
    if GRIDS:
        save_grid(samples, Path(GRIDS) / f"ring, {name}.png".replace(", ", "-").replace(" ", "-").lower())
    return found(samples)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", recipes.RING)
def test_all_heaps_are_found(name: str, seed: int, ring: PackedData, tmp_path: Path) -> None:
    hooks = Findings()
    outcome = train(recipes.ring(recipes.RING[name], seed), ring, workspace=tmp_path, resume=None, hooks=hooks)
    counts, share = heaps(outcome, name)
    print(
        f"{name}, seed {seed}: {counts.tolist()}, {share:.0%} within 3 deviations; findings: {hooks.names}", flush=True
    )
    assert (counts >= SAMPLES * share / MODES / 4).all()
    assert share > 0.3
    assert not hooks.names


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_crippled_game_loses_heaps_and_health_says_so(seed: int, ring: PackedData, tmp_path: Path) -> None:
    hooks = Findings()
    outcome = train(recipes.ring(recipes.CRIPPLED, seed), ring, workspace=tmp_path, resume=None, hooks=hooks)
    counts, share = heaps(outcome, "crippled")
    print(f"crippled, seed {seed}: {counts.tolist()}, {share:.0%}; findings: {hooks.names}", flush=True)
    assert (counts > 0).sum() < MODES
    assert "mode_collapse" in hooks.names
