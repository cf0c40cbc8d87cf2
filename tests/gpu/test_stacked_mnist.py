"""The 1,000 modes of StackedMNIST: three digits as the colours of one picture (Metz et al., 1611.02163).

By hand, on a GPU: pytest -s tests/gpu/test_stacked_mnist.py. A small classifier, trained here, reads the digits of
26,000 samples; R3GAN's authors found all 1,000 numbers with their networks (2501.05441).
"""

from collections.abc import Iterator
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from jobs.datasets import prepare
from jobs.specs.spec import Data
from trainers.data.pack import pack_arrays
from trainers.data.packed import PackedData
from trainers.generation.sampling import Sampler
from trainers.loop import NoHooks, Settings, train

COUNT, SIDE, SAMPLES, MODES = 128_000, 32, 26_000, 1000
RECIPES: dict[str, tuple[dict[str, Any], int]] = {  # params, modes at least
    "r3gan": ({"channels": 128, "blocks": 1, "penalties": {"r1": {"weight": 1.0}, "r2": {"weight": 1.0}}}, 990),
    "sngan": ({"generator_channels": 128, "discriminator": {"steps": 1}}, 900),
}


@pytest.fixture(scope="module")
def mnist(tmp_path_factory: pytest.TempPathFactory, mirror: Path) -> PackedData:
    assert torch.cuda.is_available(), "no CUDA device here"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANWORKS_DATA_MIRROR", str(mirror))
        return prepare(Data(source="mnist", split="train", resolution=SIDE), tmp_path_factory.mktemp("mnist"), print)


@pytest.fixture(scope="module")
def stacked(mnist: PackedData, tmp_path_factory: pytest.TempPathFactory) -> PackedData:
    chosen = np.random.default_rng(0).integers(mnist.count, size=(COUNT, 3))

    def pictures() -> Iterator[np.ndarray]:
        for three in chosen:
            yield mnist.samples[three][:, 0].transpose(1, 2, 0)

    return pack_arrays(pictures(), None, tmp_path_factory.mktemp("stacked") / "data", count=COUNT, source="stacked")


@pytest.fixture(scope="module")
def reader(mnist: PackedData) -> nn.Module:
    """uint8 [n, 1, 32, 32] -> logits of the digit."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 32, 3, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 3, 2, 1), nn.ReLU(), nn.Flatten(),
        nn.Linear(64 * 64, 128), nn.ReLU(), nn.Linear(128, 10),
    ).cuda()  # fmt: skip
    assert mnist.labels is not None
    samples, labels = (torch.from_numpy(np.array(array)).cuda() for array in (mnist.samples, mnist.labels))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(3_000):
        chosen = torch.randint(len(samples) - 5_000, (256,), device="cuda")  # the last 5,000 are held out
        loss = F.cross_entropy(network(samples[chosen].float() / 255), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    accuracy = (read(network, samples[-5_000:]) == labels[-5_000:].cpu()).float().mean()
    assert accuracy > 0.98
    return network.eval()


@torch.no_grad()
def read(network: nn.Module, samples: torch.Tensor) -> torch.Tensor:
    return torch.cat([network(block.cuda().float() / 255).argmax(1).cpu() for block in samples.split(1000)])


@pytest.mark.timeout(3 * 3600)
@pytest.mark.parametrize("family", RECIPES)
def test_modes_of_stacked_mnist(family: str, stacked: PackedData, reader: nn.Module, tmp_path: Path) -> None:
    params, enough = RECIPES[family]
    settings = Settings(
        family=family, params=params, examples=3_000_000, batch_size=128, group=128, seed=0, precision="fp32",
        checkpoint_every=10**9, grid_every=10**9, grid_count=64, threads=4, device="cuda",
    )  # fmt: skip
    outcome = train(settings, stacked, workspace=tmp_path, resume=None, hooks=NoHooks())
    assert outcome.model
    samples, _ = Sampler.load(outcome.model, device="cuda").samples(0, SAMPLES, seed=0)
    digits = [read(reader, torch.from_numpy(samples[:, channel : channel + 1])).numpy() for channel in range(3)]
    counts = np.bincount(100 * digits[0] + 10 * digits[1] + digits[2], minlength=MODES)
    shares = counts[counts > 0] / SAMPLES
    modes, divergence = len(shares), float((shares * np.log(shares)).sum() + log(MODES))
    print(f"{family}: {modes} of {MODES} modes, KL to the even distribution {divergence:.3f}")
    assert modes >= enough
