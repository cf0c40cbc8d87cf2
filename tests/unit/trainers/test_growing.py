"""Pictures that grow: the schedule, what runs at a stage, and a training that is cut at any step of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_equal_workers import TINY, StopAt, digest, run
from torch import nn
from trainers_gang import Gang

from tests.support.streams import stream_of
from trainers import checkpoint
from trainers.config import Growing
from trainers.data.packed import PackedData
from trainers.engine import Engine
from trainers.gan.family import Family
from trainers.gan.registry import build, get
from trainers.generation.sampling import Sampler
from trainers.growing import Growth, Stage, doublings
from trainers.hooks import NoHooks
from trainers.layers.stages import Staged, enlarged, freeze_idle, grow, reduced, shown
from trainers.loop import train
from trainers.monitoring.meter import Clock, Meter
from trainers.randomness.groups import Share
from trainers.settings import Settings
from trainers.snapshot import Snapshot

__all__ = ["Gang", "run"]

ON_FEATURE_MAPS = ("dcgan", "cgan", "wgan", "wgan_gp", "sngan", "r3gan")
GROWING: dict[str, Any] = {"start": 8, "until": 0.6, "fade": 0.8}  # in ten steps: 4 small, 2 or 3 that fade, the rest
GROWN = TINY | {"growing": GROWING}
LATENTS = torch.randn(4, 16, generator=torch.Generator().manual_seed(0))


def growth(**config: Any) -> Growth:
    return Growth(sizes=(8, 16, 32), config=Growing(**config))


def test_stages_are_equally_long_and_the_last_is_faded_in_at_until():
    plan = growth(until=0.5, fade=0.5)  # a stage takes 0.2
    assert [plan.at(progress) for progress in (0, 0.19)] == [Stage(pixels=8)] * 2
    assert (plan.at(0.25).pixels, plan.at(0.25).alpha) == (16, pytest.approx(0.5))
    assert plan.at(0.31) == Stage(pixels=16)
    assert (plan.at(0.45).pixels, plan.at(0.45).alpha) == (32, pytest.approx(0.5))
    assert plan.at(0.499).is_fading
    assert [plan.at(progress) for progress in (0.5001, 0.9, 1.0)] == [Stage(pixels=32)] * 3


def test_without_fading_the_whole_comes_at_once():
    assert [growth(until=0.5, fade=0).at(p).pixels for p in (0, 0.24, 0.26, 0.49, 0.51)] == [8, 8, 16, 16, 32]
    assert not any(growth(until=0.5, fade=0).at(p / 100).is_fading for p in range(100))


@pytest.mark.parametrize("until", [0.3, 1.0])
@pytest.mark.parametrize("fade", [0.0, 0.3, 1.0])
def test_pictures_never_shrink_and_every_set_of_layers_is_known_before(until: float, fade: float):
    plan = growth(until=until, fade=fade)
    seen = [plan.at(step / 1000) for step in range(1000)]
    assert seen == sorted(seen, key=lambda stage: (stage.pixels, stage.alpha))
    assert all(0 <= stage.alpha <= 1 for stage in seen)
    assert all(any(stage.uses_layers_of(layout) for layout in plan.layouts()) for stage in seen)
    assert plan.layouts()[0] == plan.at(0)


def test_sizes_double():
    assert doublings(8, 64) == (8, 16, 32, 64)


def built(name: str, side: int = 32, **more: Any) -> Family:
    return build(name, get(name).tiny() | {"growing": {"start": 8}} | more, shape=(1, side, side), classes=2)


def at(stage: Stage, networks: dict[str, nn.Module]) -> dict[str, nn.Module]:
    for network in networks.values():
        grow(network, stage)
    return networks


class Seen:
    """Names of the networks' layers with weights that ran, and the largest feature map."""

    def __init__(self, network: nn.Module) -> None:
        self.names: set[str] = set()
        self.largest = 0
        for name, module in network.named_modules():
            if list(module.parameters(recurse=False)):
                module.register_forward_hook(self._note(name))

    def _note(self, name: str) -> Callable[..., None]:
        def note(module: nn.Module, given: Any, made: torch.Tensor) -> None:
            self.names.add(name)
            self.largest = max(self.largest, *made.shape[2:], 0) if made.ndim == 4 else self.largest

        return note


@pytest.mark.parametrize("name", ON_FEATURE_MAPS)
def test_an_early_stage_runs_few_layers_on_small_maps(name: str):
    counts = []
    for stage in (Stage(pixels=8), Stage(pixels=16, alpha=0.5), Stage(pixels=16), Stage(pixels=32)):
        family = built(name)
        networks = at(stage, family.networks())
        seen = [Seen(networks["generator"]), Seen(networks["discriminator"])]
        labels = None if family.classes is None else torch.arange(4) % 2
        made = family.generate(networks["generator"], LATENTS, labels)
        networks["discriminator"](made, labels)
        assert made.shape == (4, 1, stage.pixels, stage.pixels)
        assert max(each.largest for each in seen) <= stage.pixels
        counts.append(sum(len(each.names) for each in seen))
    small, fading, middle, full = counts
    assert small < middle < full
    assert fading > middle


@pytest.mark.parametrize("name", ON_FEATURE_MAPS)
def test_what_does_not_run_requires_no_gradient_and_all_else_gets_one(name: str):
    for stage in (Stage(pixels=8), Stage(pixels=16, alpha=0.5), Stage(pixels=32)):
        family = built(name)
        networks = at(stage, family.networks())
        for network in networks.values():
            freeze_idle(network)
        labels = None if family.classes is None else torch.arange(4) % 2
        verdict = networks["discriminator"](family.generate(networks["generator"], LATENTS, labels), labels)
        verdict.logits.sum().backward()
        parameters = [p for network in networks.values() for p in network.parameters()]
        assert all((p.grad is not None) == p.requires_grad for p in parameters)
        assert not all(p.requires_grad for p in parameters)


@pytest.mark.parametrize("name", ON_FEATURE_MAPS)
def test_a_new_stage_begins_where_the_one_before_ended_and_ends_without_it(name: str):
    family = built(name)
    networks = {key: network.double() for key, network in family.networks().items()}
    labels = None if family.classes is None else torch.arange(4) % 2

    def both(stage: Stage) -> tuple[torch.Tensor, torch.Tensor]:
        made = family.generate(at(stage, networks)["generator"], LATENTS.double(), labels)
        seen = torch.linspace(-1, 1, 4 * 32 * 32).double().unflatten(0, (4, 1, 32, 32))
        return made, networks["discriminator"](shown(seen, stage), labels).logits

    for network in networks.values():
        network.apply(without_batches)
    (small, low), (begun, at_0) = both(Stage(pixels=8)), both(Stage(pixels=16, alpha=0.0))
    torch.testing.assert_close(begun, enlarged(small, 16))
    torch.testing.assert_close(at_0, low)
    (almost, near), (whole, logits) = both(Stage(pixels=16, alpha=1 - 1e-6)), both(Stage(pixels=16))
    torch.testing.assert_close(almost, whole, atol=1e-4, rtol=0)
    torch.testing.assert_close(near, logits, atol=1e-3, rtol=1e-3)


def without_batches(module: nn.Module) -> None:
    """Spectral norm iterates in training; batch norm would see other pictures at another stage."""
    if not isinstance(module, Staged):
        module.training = False


def test_real_pictures_lose_what_the_stage_has_not_yet():
    pictures = torch.randn(2, 1, 16, 16, dtype=torch.float64)
    assert torch.equal(shown(pictures, None), pictures)
    assert torch.equal(shown(pictures, Stage(pixels=16)), pictures)
    assert torch.equal(shown(pictures, Stage(pixels=8)), reduced(pictures, 8))
    assert torch.equal(shown(pictures, Stage(pixels=16, alpha=0.0)), enlarged(reduced(pictures, 8), 16))
    assert torch.equal(reduced(enlarged(pictures, 32), 16), pictures)


def test_a_resume_at_any_step_of_the_way_is_exact(shapes16: PackedData, tiny: Callable[..., Settings], tmp_path: Path):
    settings = tiny(params=GROWN, tick_seconds=1e-6)

    def trained(name: str, **more: Any) -> Path:
        folder = train(settings, shapes16, workspace=tmp_path / name, **({"resume": None, "hooks": NoHooks()} | more))
        assert folder.checkpoint
        return folder.checkpoint

    whole = digest(trained("whole"))
    for stop_at in (72, 96, 120, 144):  # before the border, at it, in the fade, after it
        stopped = trained(f"stopped{stop_at}", hooks=StopAt(stop_at))
        assert checkpoint.read_commit(stopped)["examples"] == stop_at
        assert digest(trained(f"resumed{stop_at}", resume=stopped)) == whole


def test_a_training_that_goes_back_across_a_border_comes_the_same_way_again(
    shapes16: PackedData, tiny: Callable[..., Settings]
):
    settings, device = tiny(params=GROWN), torch.device("cpu")
    share = Share(batch_size=24, group=4, rank=0, world=1)
    engine = Engine(settings.build_family(shapes16), settings, share, device)
    stream = stream_of(shapes16, share, seed=engine.seed, device=device, dtype=torch.float32, balanced=False)

    def states(steps: range) -> list[Snapshot]:
        found = []
        for step in steps:
            engine.step(step, 24 * step, stream, Meter(device), Clock(), measure=False)
            found.append(engine.snapshot({}))
        return found

    first = states(range(8))
    engine.restore(first[3])
    assert [own_digest(each) for each in states(range(4, 8))] == [own_digest(each) for each in first[4:]]


def own_digest(snapshot: Snapshot) -> bytes:
    found = [*snapshot.networks.values(), *snapshot.averages.values(), snapshot.ranks]
    moments = [state for optimizer in snapshot.optimizers.values() for state in optimizer["state"].values()]
    return b"".join(tensor.numpy().tobytes() for each in [*found, *moments] for tensor in each.values())


@pytest.mark.parametrize("name", ON_FEATURE_MAPS)
def test_bf16_stays_near_fp32_while_a_stage_fades_in(name: str):
    family = built(name)
    networks = at(Stage(pixels=16, alpha=0.5), family.networks())
    labels = None if family.classes is None else torch.arange(4) % 2
    for network in networks.values():
        network.apply(without_batches)

    def made() -> torch.Tensor:
        return family.generate(networks["generator"], LATENTS, labels)

    exact = made()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = made()
        judged = networks["discriminator"](exact, labels).logits.float()
    torch.testing.assert_close(rough.float(), exact, rtol=0.05, atol=0.05)
    torch.testing.assert_close(judged, networks["discriminator"](exact, labels).logits, rtol=0.05, atol=0.05)


def test_a_resume_at_the_border_by_three_workers_is_exact(run: Callable[..., Path], tiny: Callable[..., Settings]):
    """Also in each rank's own running statistics, which the sharing of new losses must not touch."""
    settings = tiny(params=GROWN, checkpoint_every=96)
    stopped = run(3, settings, stop_at=96)
    assert pixels(stopped) == 8
    assert digest(run(3, settings, resume=stopped)) == digest(run(3, settings))


def pixels(folder: Path) -> int:
    """Of the stage that a checkpoint was made at."""
    return int(checkpoint.load(folder).averages["generator"]["layers.grown"][0])


def test_optimizers_remember_what_has_stepped_and_begin_the_rest_later(
    shapes16: PackedData, tiny: Callable[..., Settings], tmp_path: Path
):
    def states(stop_at: int, resume: Path | None = None) -> tuple[set[int], Path]:
        hooks, place = StopAt(stop_at), tmp_path / f"{stop_at}"
        settings = tiny(params=GROWN, tick_seconds=1e-6)
        folder = train(settings, shapes16, workspace=place, resume=resume, hooks=hooks).checkpoint
        assert folder
        return set(checkpoint.load(folder).optimizers["generator"]["state"]), folder

    few, stopped = states(72)
    more, _ = states(144, stopped)
    assert few < more


@pytest.mark.parametrize("stop_at", [72, 120])
def test_a_checkpoint_on_the_way_gives_pictures_of_the_full_size_in_squares_of_its_own(
    shapes16: PackedData, tiny: Callable[..., Settings], tmp_path: Path, stop_at: int
):
    settings = tiny(params=GROWN, tick_seconds=1e-6, grid_every=24)
    folder = train(settings, shapes16, workspace=tmp_path, resume=None, hooks=StopAt(stop_at)).checkpoint
    assert folder
    weights = checkpoint.load(folder).averages["generator"]
    family = settings.build_family(shapes16)
    network = family.networks()["generator"]
    network.load_state_dict(weights)
    samples, _ = Sampler(family, {"generator": network}, device=torch.device("cpu")).samples(0, 4, seed=0)
    assert samples.shape == (4, 3, 16, 16)
    squares = samples[:, :, ::2, ::2].repeat(2, 2).repeat(2, 3)
    assert np.array_equal(squares, samples) == (pixels(folder) == 8)
