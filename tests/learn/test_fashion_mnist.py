"""A DCGAN learns real clothes: the kernel distance to held-out pictures falls from untrained over half-way to the end.

Run by hand: make learn (about three minutes). The features are those of a fixed random convolution network: good
enough to rank generators of one run, and never to be called FID or KID with Inception's.
"""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from jobs.datasets import prepare
from jobs.spec import Data
from trainers.loop import NoHooks, Settings, train
from trainers.sampling import Sampler

PARAMS = {"base_channels": 16, "generator": {"lr": 4e-4}, "discriminator": {"lr": 4e-4}, "ema": {"half_life": 1000}}
SAMPLES, SUBSET = 1000, 250


class Features:
    """A random, fixed map of pictures to 256 numbers."""

    def __init__(self) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            widths = (1, 32, 64, 128, 256)
            layers = [
                nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1), nn.ReLU()) for a, b in itertools.pairwise(widths)
            ]
            self.network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()

    @torch.no_grad()
    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        features = self.network(torch.from_numpy(pictures).float() / 127.5 - 1).double().numpy()
        return features / np.sqrt((features**2).sum(1, keepdims=True))


def kernel_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased squared MMD with the cubic polynomial kernel (Binkowski et al., 1801.01401), in subsets."""
    random, total = np.random.default_rng(0), []
    for _ in range(20):
        a, b = x[random.choice(len(x), SUBSET, False)], y[random.choice(len(y), SUBSET, False)]
        aa, bb, ab = ((u @ v.T + 1) ** 3 for u, v in ((a, a), (b, b), (a, b)))
        off = SUBSET * (SUBSET - 1)
        total.append((aa.sum() - np.trace(aa)) / off + (bb.sum() - np.trace(bb)) / off - 2 * ab.mean())
    return float(np.mean(total))


@pytest.mark.timeout(1200)
def test_it_gets_nearer_to_real_clothes_all_the_way(
    tmp_path: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANWORKS_DATA_MIRROR", str(mirror))
    wanted = {"source": "fashion-mnist", "resolution": 32}
    data = prepare(Data(**wanted, split="train"), tmp_path, lambda *_: None)
    held_out = prepare(Data(**wanted, split="test"), tmp_path, lambda *_: None)
    features = Features()
    real = features(np.array(held_out.samples[:SAMPLES]))
    distances = []
    for examples in (64, 16_000, 32_000):
        settings = Settings(
            family="dcgan", params=PARAMS, examples=examples, batch_size=64, group=32, seed=0, precision="fp32",
            checkpoint_every=32_000, grid_every=32_000, grid_count=64, threads=2, device="cpu",
        )  # fmt: skip
        outcome = train(settings, data, workspace=tmp_path / str(examples), resume=None, hooks=NoHooks())
        assert outcome.model
        samples, _ = Sampler.load(outcome.model, threads=2).samples(0, SAMPLES, seed=1)
        distances.append(kernel_distance(features(samples), real))
    print("kernel distance, untrained, half-way, end:", [f"{distance:.5f}" for distance in distances])
    untrained, half, end = distances
    assert end < half < untrained
    assert end < untrained / 5
