"""SNGAN on CIFAR-10 follows the published curve: FID of 10k samples against the test set, by generator steps.

By hand, on a GPU: pytest -s tests/gpu/test_cifar_sngan.py (GANWORKS_STEPS=10000 for the first part of the curve).
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from jobs.datasets import prepare
from jobs.specs.spec import Data
from tests.gpu.inception import Inception, fid
from tests.support.models import as_model
from trainers.generation.sampling import Sampler
from trainers.loop import NoHooks, Settings, train

CURVE = {2_000: 44.0, 10_000: 26.0, 50_000: 16.6}  # torch-mimicry's log, batch 64, 5 turns of the discriminator
MARGIN = 1.15
STEPS = int(os.environ.get("GANWORKS_STEPS", "50000"))
BATCH, TURNS, SAMPLES = 64, 5, 10_000
PER_STEP = BATCH * TURNS


class Measured(NoHooks):
    """FID of the averaged generator at the steps of the curve."""

    def __init__(self, reals: np.ndarray, folder: Path) -> None:
        self._features = Inception("cuda")
        self._real, self._folder = self._features(reals), folder
        self.fids: dict[int, float] = {}

    def checkpoint(self, folder: Path, examples: int) -> None:
        if (step := examples // PER_STEP) in CURVE:
            sampler = Sampler.load(as_model(folder, self._folder / str(step)), device="cuda")
            samples, _ = sampler.samples(0, SAMPLES, seed=0)
            self.fids[step] = fid(self._features(samples), self._real)
            print(f"step {step}: FID {self.fids[step]:.2f}, published {CURVE[step]}", flush=True)


@pytest.mark.timeout(6 * 3600)
def test_sngan_follows_the_published_curve(tmp_path: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert torch.cuda.is_available(), "no CUDA device here"
    monkeypatch.setenv("GANWORKS_DATA_MIRROR", str(mirror))
    data, held_out = (prepare(Data(source="cifar-10", split=split), tmp_path, print) for split in ("train", "test"))
    hooks = Measured(np.array(held_out.samples), tmp_path / "models")
    settings = Settings(
        family="sngan", params={}, examples=STEPS * PER_STEP, batch_size=BATCH, group=BATCH, seed=0, precision="fp32",
        checkpoint_every=2_000 * PER_STEP, grid_every=10_000 * PER_STEP, grid_count=64, threads=4, device="cuda",
    )  # fmt: skip
    train(settings, data, workspace=tmp_path / "run", resume=None, hooks=hooks)
    reached = {step: CURVE[step] for step in CURVE if step <= STEPS}
    assert hooks.fids.keys() == reached.keys()
    assert all(hooks.fids[step] < MARGIN * published for step, published in reached.items())
