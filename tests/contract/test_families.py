"""Every family that is installed, in its tiny() configuration, keeps the same promises."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.utils import parametrize

from trainers import checkpoint
from trainers.data.pack import pack_arrays
from trainers.data.packed import PackedData, open_packed
from trainers.describe import described
from trainers.draws import Draws
from trainers.family import LabelsNeeded, build, get, names
from trainers.groups import Share
from trainers.hooks import NoHooks, Outcome, Tick
from trainers.loop import train
from trainers.phase import Batch
from trainers.sampling import Sampler
from trainers.settings import Settings
from trainers.snapshot import Snapshot

SIDE, CLASSES, TOY = 16, 2, 64

pytestmark = pytest.mark.parametrize("name", names())


class StopAfterOneTick(NoHooks):
    def tick(self, tick: Tick) -> str:
        return "checkpoint_and_stop"


def toy_pictures() -> Iterator[np.ndarray]:
    """Bright on the left or on the right, with a little noise."""
    random = np.random.default_rng(0)
    for index in range(TOY):
        picture = np.full((SIDE, SIDE, 1), 20.0)
        picture[:, : SIDE // 2] = 220
        picture = picture if index % CLASSES == 0 else picture[:, ::-1]
        yield (picture + random.normal(0, 5, picture.shape)).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> PackedData:
    return pack_arrays(
        toy_pictures(),
        [index % CLASSES for index in range(TOY)],
        tmp_path_factory.mktemp("toy") / "data",
        count=TOY,
        source="toy",
        class_names=["left", "right"],
    )


def settings(name: str, **changes: Any) -> Settings:
    values: dict[str, Any] = {
        "family": name,
        "params": get(name).tiny(),
        "examples": 96,
        "batch_size": 16,
        "group": 8,
        "seed": 0,
        "precision": "fp32",
        "checkpoint_every": 1_000_000,
        "grid_every": 1_000_000,
        "grid_count": 4,
        "threads": 1,
        "device": "cpu",
    }
    return Settings(**(values | changes))


def trained(toy: PackedData, workspace: Path, asked: Settings, **more: Any) -> Outcome:
    return train(asked, toy, workspace=workspace, **({"resume": None, "hooks": NoHooks()} | more))


def numbers(folder: Path | None) -> dict[str, torch.Tensor]:
    assert folder is not None
    found: Snapshot = checkpoint.load(folder)
    states = {**found.networks, "average": found.average}
    return {f"{network}.{key}": value for network, state in states.items() for key, value in state.items()}


def rank_main(rank: int, port: int, data: Path, workspace: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    for name in names():
        trained(open_packed(data), workspace / name / str(rank), settings(name, precision="fp64"))
    dist.destroy_process_group()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.fixture(scope="module")
def by_two(toy: PackedData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """<family>/0: what two workers made. One process group for all, since importing torch takes seconds."""
    workspace = tmp_path_factory.mktemp("two")
    mp.spawn(rank_main, (free_port(), toy.folder, workspace), nprocs=2)
    return workspace


def test_it_says_what_it_is(name: str):
    said = described(get(name))
    assert said["summary"]
    assert said["paper"].startswith("https://")
    assert get(name).Config.model_validate(said["defaults"]) == get(name).Config()
    assert said["flops"]["generator"] > 0


def needs_labels(name: str) -> bool:
    return getattr(get(name), "needs_labels", False)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("classes", [None, CLASSES])
def test_samples_have_the_shape_of_the_data(name: str, channels: int, classes: int | None):
    if classes is None and needs_labels(name):
        with pytest.raises(LabelsNeeded):
            build(name, get(name).tiny(), shape=(channels, SIDE, SIDE), classes=classes)
        return
    family = build(name, get(name).tiny(), shape=(channels, SIDE, SIDE), classes=classes)
    labels = None if family.classes is None else torch.arange(4) % family.classes
    network = family.networks()[family.averaged].eval()
    samples = family.generate(network, torch.randn(4, family.config.latent.dim), labels)
    assert samples.shape == (4, channels, SIDE, SIDE)
    assert torch.isfinite(samples).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_phase_has_a_finite_loss_whose_gradient_reaches_what_it_trains(name: str, dtype: torch.dtype):
    family = build(name, get(name).tiny(), shape=(1, SIDE, SIDE), classes=CLASSES)
    networks = {key: network.to(dtype) for key, network in family.networks().items()}
    share = Share(batch_size=8, group=8, rank=0, world=1)
    batch = Batch(samples=torch.rand(8, 1, SIDE, SIDE, dtype=dtype), labels=torch.arange(8) % CLASSES)
    for phase in family.phases():
        draws = Draws(seed=0, step=0, phase=phase.name, share=share, device=torch.device("cpu"), dtype=dtype)
        with parametrize.cached():
            loss = phase.loss(networks, batch, draws)
        loss.value.backward()
        assert loss.value.dtype == dtype
        assert torch.isfinite(loss.value)
        assert not any(stat.requires_grad for stat in loss.stats.values())
        for trained_name in phase.trains:
            assert all(parameter.grad is not None for parameter in networks[trained_name].parameters())
        assert phase.optimizer in family.players()


def test_it_learns_a_toy_set(name: str, toy: PackedData, tmp_path: Path):
    """Its samples come clearly nearer to the nearest real picture than plain grey, where an untrained one begins.

    Quick learners need not go on to the end.
    """
    resume = None
    for examples in (2_000, 4_000, 10_000):
        outcome = trained(toy, tmp_path, settings(name, examples=examples), resume=resume)
        resume = outcome.checkpoint
        assert outcome.model is not None
        samples, _ = Sampler.load(outcome.model).samples(0, 64, seed=0)
        if distance(samples, toy) < 0.8 * distance(np.full_like(samples, 128), toy):
            return
    pytest.fail(f"{name} is at {distance(samples, toy)} after {examples} examples")


def distance(samples: np.ndarray, toy: PackedData) -> float:
    """Mean over samples of the root mean square to the nearest real picture."""
    gaps = samples[:, None].astype(float) - toy.samples[None].astype(float)
    return float(np.sqrt((gaps**2).mean(axis=(2, 3, 4))).min(axis=1).mean())


def test_a_resume_is_exact(name: str, toy: PackedData, tmp_path: Path):
    whole = trained(toy, tmp_path / "whole", settings(name))
    stopped = trained(toy, tmp_path / "stopped", settings(name), hooks=StopAfterOneTick())
    resumed = trained(toy, tmp_path / "resumed", settings(name), resume=stopped.checkpoint)
    assert stopped.steps < whole.steps == resumed.steps
    left, right = numbers(whole.checkpoint), numbers(resumed.checkpoint)
    assert all(torch.equal(left[key], right[key]) for key in left)


def test_two_workers_equal_one(name: str, toy: PackedData, by_two: Path, tmp_path: Path):
    alone = trained(toy, tmp_path / "alone", settings(name, precision="fp64"))
    left, right = numbers(alone.checkpoint), numbers(by_two / name / "0" / "checkpoints" / f"{alone.examples:012d}")
    assert max(float((left[key] - right[key]).abs().max()) for key in left) <= 1e-10
