"""Every family, built-in or from outside, keeps the same promises in its tiny() configuration."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from tests.support import plugin
from tests.support.toy import (
    CLASSES,
    SIDE,
    StopAfterOneTick,
    by_two,
    for_sixty_steps,
    furthest,
    inputs_of,
    numbers,
    settings,
    trained,
)
from trainers.batch import Batch, Examples
from trainers.data.packed import PackedData
from trainers.engine import make_ready
from trainers.gan.describe import described
from trainers.gan.family import Family, LabelsNeeded, Request
from trainers.gan.helpers import load_helpers
from trainers.gan.registry import build, get, names
from trainers.generation.row_draws import RowDraws
from trainers.generation.sampling import Sampler
from trainers.randomness.draws import Draws
from trainers.randomness.groups import Share
from trainers.randomness.source import drawing_from

plugin.install()

NAMES = [*names(), plugin.BY_MODULE, *plugin.TOYS]
# One step at tiny()'s rate carries this critic's values from 3 to -1.5: 5 % of that way is a sixth of what is left.
FAR = {"wgan_gp"}
CPU = torch.device("cpu")

Sets = Mapping[str, PackedData]

pytestmark = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Sets]:
    """A set of pictures for each input of a family."""
    folder = tmp_path_factory.mktemp("toy")
    return lambda name: inputs_of(name, folder)


@pytest.fixture
def toy(name: str, toys: Callable[[str], Sets]) -> Sets:
    return toys(name)


@pytest.fixture(scope="module")
def pairs(toys: Callable[[str], Sets], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What two workers made of each family."""
    asked = {name: for_sixty_steps(name, get(name).tiny()) for name in NAMES}
    return by_two(asked, {name: toys(name) for name in NAMES}, tmp_path_factory.mktemp("two"))


def test_it_says_what_it_is(name: str):
    said = described(get(name))
    assert said["summary"]
    assert said["paper"].startswith("https://")
    assert get(name).Config.model_validate(said["defaults"]) == get(name).Config()
    assert all(flops > 0 for network, flops in said["flops"].items() if network != "shape")


def needs_labels(name: str) -> bool:
    return getattr(get(name), "needs_labels", False)


def ready(family: Family, share: Share, dtype: torch.dtype) -> dict[str, nn.Module]:
    networks = family.networks()
    for name, network in networks.items():
        make_ready(name, network, share)
        network.to(dtype)
    helpers = load_helpers(family.helpers(), plugin.find_helper)
    return networks | {name: helper.to(dtype) for name, helper in helpers.items()}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("classes", [None, CLASSES])
def test_samples_have_the_shape_of_the_data(name: str, channels: int, classes: int | None):
    if classes is None and needs_labels(name):
        with pytest.raises(LabelsNeeded):
            build(name, get(name).tiny(), shape=(channels, SIDE, SIDE), classes=classes)
        return
    family = build(name, get(name).tiny(), shape=(channels, SIDE, SIDE), classes=classes)
    labels = None if family.classes is None else torch.arange(4) % family.classes
    networks, draws = family.networks(), RowDraws(seed=0, rows=range(4), device=CPU)
    for spec in family.samplers().values():
        request = Request(
            latents=None if spec.start else torch.randn(4, family.config.latent.dim),
            inputs=torch.rand(4, *family.examples[spec.start].shape) if spec.start else None,
            labels=labels,
            draws=draws,
        )
        with drawing_from(draws):
            samples = spec.run({key: networks[key].eval() for key in spec.networks}, request)
        assert samples.shape == (4, channels, SIDE, SIDE)
        assert torch.isfinite(samples).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_phase_has_a_finite_loss_whose_gradient_reaches_what_it_trains(name: str, dtype: torch.dtype):
    family = build(name, get(name).tiny(), shape=(1, SIDE, SIDE), classes=CLASSES)
    share = Share(batch_size=8, group=8, rank=0, world=1)
    networks = ready(family, share, dtype)
    examples = Examples(samples=torch.rand(8, 1, SIDE, SIDE, dtype=dtype), labels=torch.arange(8) % CLASSES)
    batch = Batch(inputs={each.name: examples for each in family.inputs()})
    for phase in family.phases():
        own, k = batch.repeated(8, phase.batch_multiple), phase.batch_multiple
        draws = Draws(seed=0, step=0, phase=phase.name, share=share.multiplied(k), device=CPU, dtype=dtype)
        with parametrize.cached(), drawing_from(draws):
            loss = phase.loss(networks, own, draws)
        loss.value.backward()
        assert loss.value.dtype == dtype
        assert torch.isfinite(loss.value)
        assert not any(stat.requires_grad for stat in loss.stats.values())
        for trained_name in phase.trains:
            assert all(parameter.grad is not None for parameter in networks[trained_name].parameters())
        assert phase.optimizer in family.optimizers()


def test_its_roles_name_what_it_has(name: str):
    family = build(name, get(name).tiny(), shape=(1, SIDE, SIDE), classes=CLASSES)
    networks, phases = family.networks(), {phase.name for phase in family.phases()}
    for role in family.roles():
        assert {role.generator, role.discriminator or role.generator} <= networks.keys()
        assert {role.generator_phase, role.discriminator_phase or role.generator_phase} <= phases
        assert role.sampler in family.samplers()
    assert set(family.averages()) <= networks.keys()


def test_it_learns_a_toy_set(name: str, toy: Sets, tmp_path: Path):
    """Its samples come clearly nearer to the nearest real picture than plain grey, where an untrained one begins.

    Quick learners need not go on to the end.
    """
    resume = None
    for examples in (2_000, 4_000, 10_000):
        outcome = trained(toy, tmp_path, settings(name, examples=examples), resume=resume)
        resume = outcome.checkpoint
        assert outcome.model is not None
        if all(share < 0.8 for share in shares_of_grey(Sampler.load(outcome.model), toy)):
            return
    pytest.fail(f"{name} is at {shares_of_grey(Sampler.load(outcome.model), toy)} of grey after {examples} examples")


def shares_of_grey(sampler: Sampler, toy: Sets) -> list[float]:
    """How far the samples of each sampler are from real pictures, as a share of how far grey is."""
    found = []
    for name, spec in sampler.specs.items():
        inputs = toy[spec.start] if spec.start else None
        samples, _ = sampler.samples(0, 40, seed=0, sampler=name, inputs=inputs)
        reals = toy[spec.makes]
        found.append(distance(samples, reals) / distance(np.full_like(samples, 128), reals))
    return found


def distance(samples: np.ndarray, toy: PackedData) -> float:
    """Mean over samples of the root mean square to the nearest real picture."""
    gaps = samples[:, None].astype(float) - toy.samples[None].astype(float)
    return float(np.sqrt((gaps**2).mean(axis=(2, 3, 4))).min(axis=1).mean())


def test_a_resume_is_exact(name: str, toy: Sets, tmp_path: Path):
    """From its first step, and where phases begin and end from each step."""
    asked = settings(name, tick_seconds=1e-6)
    whole = trained(toy, tmp_path / "whole", asked)
    for stop_after in range(1, whole.steps if has_a_course(name) else 2):
        here = tmp_path / str(stop_after)
        stopped = trained(toy, here / "stopped", asked, hooks=StopAfterOneTick(stop_after))
        resumed = trained(toy, here / "resumed", asked, resume=stopped.checkpoint)
        assert stopped.steps == stop_after < whole.steps == resumed.steps
        left, right = numbers(whole.checkpoint), numbers(resumed.checkpoint)
        assert left.keys() == right.keys()
        assert all(torch.equal(left[key], right[key]) for key in left)


def has_a_course(name: str) -> bool:
    phases = build(name, get(name).tiny(), shape=(1, SIDE, SIDE), classes=CLASSES).phases()
    return any(phase.begin or phase.end is not None for phase in phases)


def test_sample_i_does_not_depend_on_what_is_sampled_beside_it(name: str, toy: Sets, tmp_path: Path):
    outcome = trained(toy, tmp_path, settings(name))
    assert outcome.model is not None
    sampler = Sampler.load(outcome.model)
    for key, spec in sampler.specs.items():
        inputs = toy[spec.start] if spec.start else None
        whole, _ = sampler.samples(0, 40, seed=3, sampler=key, inputs=inputs)
        part, _ = sampler.samples(7, 20, seed=3, sampler=key, inputs=inputs)
        assert np.array_equal(part, whole[7:20])


def test_bf16_stays_near_fp32(name: str, toy: Sets, tmp_path: Path):
    """Losses and logits of the first step; bf16 keeps 8 bits of each number."""
    quick, own = settings(name), for_sixty_steps(name, get(name).tiny())
    told: list[StopAfterOneTick] = [StopAfterOneTick() for _ in range(2)]
    for hooks, precision in zip(told, ("fp32", "bf16"), strict=True):
        asked = own if name in FAR else quick
        trained(toy, tmp_path / precision, replace(asked, precision=precision), hooks=hooks)
    exact, rough = ({k: v for k, v in hooks.stats.items() if k.startswith("loss") or "logits" in k} for hooks in told)
    assert rough == pytest.approx(exact, rel=0.05, abs=0.03)
    assert rough != exact


def test_two_workers_equal_one(name: str, toy: Sets, pairs: dict[str, Path], tmp_path: Path):
    alone = trained(toy, tmp_path / "alone", for_sixty_steps(name, get(name).tiny()))
    assert furthest(alone.checkpoint, pairs[name]) <= 1e-10
