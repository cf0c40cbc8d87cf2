"""Every family, built-in or from outside, keeps the same promises in its tiny() configuration."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.utils import parametrize

from tests.support import plugin
from tests.support.toy import (
    CLASSES,
    SIDE,
    StopAfterOneTick,
    by_two,
    for_sixty_steps,
    furthest,
    numbers,
    packed,
    settings,
    trained,
)
from trainers.data.packed import PackedData
from trainers.gan.describe import described
from trainers.gan.family import LabelsNeeded, build, get, names
from trainers.generation.sampling import Sampler
from trainers.phase import Batch
from trainers.randomness.draws import Draws
from trainers.randomness.groups import Share

plugin.install()

NAMES = [*names(), plugin.BY_MODULE]
# One step at tiny()'s rate carries this critic's values from 3 to -1.5: 5 % of that way is a sixth of what is left.
FAR = {"wgan_gp"}

pytestmark = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> PackedData:
    return packed(tmp_path_factory.mktemp("toy") / "data")


@pytest.fixture(scope="module")
def pairs(toy: PackedData, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What two workers made of each family."""
    return by_two(
        {name: for_sixty_steps(name, get(name).tiny()) for name in NAMES}, toy, tmp_path_factory.mktemp("two")
    )


def test_it_says_what_it_is(name: str):
    said = described(get(name))
    assert said["summary"]
    assert said["paper"].startswith("https://")
    assert get(name).Config.model_validate(said["defaults"]) == get(name).Config()
    assert said["flops"][get(name).averaged] > 0


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


def test_bf16_stays_near_fp32(name: str, toy: PackedData, tmp_path: Path):
    """Losses and logits of the first step; bf16 keeps 8 bits of each number."""
    quick, own = settings(name), for_sixty_steps(name, get(name).tiny())
    told: list[StopAfterOneTick] = [StopAfterOneTick() for _ in range(2)]
    for hooks, precision in zip(told, ("fp32", "bf16"), strict=True):
        asked = own if name in FAR else quick
        trained(toy, tmp_path / precision, replace(asked, precision=precision), hooks=hooks)
    exact, rough = ({k: v for k, v in hooks.stats.items() if k.startswith(("loss", "logits"))} for hooks in told)
    assert rough == pytest.approx(exact, rel=0.05, abs=0.03)
    assert rough != exact


def test_two_workers_equal_one(name: str, toy: PackedData, pairs: dict[str, Path], tmp_path: Path):
    alone = trained(toy, tmp_path / "alone", for_sixty_steps(name, get(name).tiny()))
    assert furthest(alone.checkpoint, pairs[name]) <= 1e-10
