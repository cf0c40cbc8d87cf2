"""N workers compute what one computes, and a resume is exact."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from trainers_gang import Gang

from trainers import checkpoint
from trainers.data.packed import PackedData, open_packed
from trainers.families.dcgan import DCGAN
from trainers.hooks import NoHooks, Tick
from trainers.layers.batch_norm import GroupBatchNorm2d
from trainers.loop import train
from trainers.settings import Settings
from trainers.snapshot import Snapshot

TINY = {"base_channels": 8, "latent": {"dim": 16}, "ema": {"half_life": 100}}
WITH_R1 = TINY | {"discriminator": {"norm": "none"}, "penalties": {"r1": {"weight": 5, "every": 4}}}
SIXTY_STEPS = 60 * 24
NOTHING_BETWEEN = {"checkpoint_every": 10_000, "grid_every": 10_000}


class StopAt(NoHooks):
    def __init__(self, examples: int) -> None:
        self._examples = examples

    def tick(self, tick: Tick) -> str:
        return "checkpoint_and_stop" if tick.examples >= self._examples else "continue"


class RankLocalNorm(GroupBatchNorm2d):
    """What everybody writes first."""

    def groups_in(self, batch: int) -> int:
        return 1


class RankLocalDCGAN(DCGAN):
    def networks(self) -> dict[str, nn.Module]:
        networks = super().networks()
        for network in networks.values():
            for module in network.modules():
                if isinstance(module, GroupBatchNorm2d):
                    module.__class__ = RankLocalNorm
        return networks


def run_rank(
    rank: int, settings: Settings, data: Path, workspace: Path, resume: Path | None, stop_at: int | None
) -> Path | None:
    hooks = StopAt(stop_at) if stop_at else NoHooks()
    mine = workspace / f"rank{rank}"
    return train(settings, open_packed(data), workspace=mine, resume=resume, hooks=hooks).checkpoint


@pytest.fixture
def run(gang: Gang, shapes16: PackedData, tmp_path: Path) -> Callable[..., Path]:
    """Trains with a number of workers; the last checkpoint's folder."""
    runs = iter(range(100))

    def trained(world: int, settings: Settings, *, resume: Path | None = None, stop_at: int | None = None) -> Path:
        workspace = tmp_path / f"run{next(runs)}"
        return gang.run(world, run_rank, settings, shapes16.folder, workspace, resume, stop_at)[0]

    return trained


def weights(snapshot: Snapshot) -> dict[str, torch.Tensor]:
    averages = {f"average-{name}": state for name, state in snapshot.averages.items()}
    states = {**snapshot.networks, **averages}
    return {f"{name}.{key}": value for name, state in states.items() for key, value in state.items()}


def furthest(one: Path, other: Path) -> float:
    left, right = weights(checkpoint.load(one)), weights(checkpoint.load(other))
    assert left.keys() == right.keys()
    return max(float((left[name] - right[name]).abs().max()) for name in left)


def digest(folder: Path) -> str:
    """Of every number in a checkpoint: weights, running statistics of each rank, average, optimizers."""
    found = checkpoint.load(folder)
    return hashlib.sha256(repr(sorted(_leaves(found.optimizers))).encode() + _bytes(found)).hexdigest()


def _bytes(snapshot: Snapshot) -> bytes:
    named = {**weights(snapshot), **{f"ranks.{name}": value for name, value in snapshot.ranks.items()}}
    return b"".join(name.encode() + named[name].numpy().tobytes() for name in sorted(named))


def _leaves(value: Any, path: str = "") -> list[tuple[str, bytes]]:
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in _leaves(item, f"{path}/{key}")]
    if isinstance(value, torch.Tensor):
        return [(path, value.contiguous().numpy().tobytes())]
    return [(path, repr(value).encode())]


@pytest.mark.parametrize("params", [TINY, WITH_R1], ids=["batch norm in both", "lazy R1"])
def test_float64_after_sixty_steps(run: Callable[..., Path], tiny: Callable[..., Settings], params: dict):
    settings = tiny(params=params, precision="fp64", examples=SIXTY_STEPS, **NOTHING_BETWEEN)
    alone = run(1, settings)
    for workers in (2, 3):
        assert furthest(alone, run(workers, settings)) <= 1e-10


def test_float32_after_one_step(run: Callable[..., Path], tiny: Callable[..., Settings]):
    """All gradients; of the weights all but a few: Adam divides by the gradient's size, also where it is rounding."""
    settings = tiny(examples=24)
    one, two = (checkpoint.load(run(workers, settings)) for workers in (1, 2))
    for name, optimizer in one.optimizers.items():
        for number, state in optimizer["state"].items():
            other = two.optimizers[name]["state"][number]
            assert float((state["exp_avg"] - other["exp_avg"]).abs().max()) <= 1e-6
    gaps = torch.cat([(weights(one)[name] - weights(two)[name]).abs().flatten() for name in weights(one)])
    assert float((gaps > 1e-6).float().mean()) < 1e-3


def test_the_comparison_finds_rank_local_batch_norm(run: Callable[..., Path], tiny: Callable[..., Settings]):
    settings = tiny(precision="fp64", examples=24, family_object=RankLocalDCGAN)
    assert furthest(run(1, settings), run(2, settings)) > 1e-6


@pytest.mark.parametrize(("workers", "params"), [(1, TINY), (2, TINY), (3, WITH_R1)])
def test_resume_is_exact(run: Callable[..., Path], tiny: Callable[..., Settings], workers: int, params: dict):
    settings = tiny(params=params, checkpoint_every=72)
    undisturbed = run(workers, settings)
    stopped = run(workers, settings, stop_at=72)
    assert checkpoint.read_commit(stopped)["steps"] < 10
    assert digest(run(workers, settings, resume=stopped)) == digest(undisturbed)


def test_resume_from_where_no_checkpoint_was_due_is_exact(run: Callable[..., Path], tiny: Callable[..., Settings]):
    settings = tiny(**NOTHING_BETWEEN)
    stopped = run(2, settings, stop_at=24)
    assert digest(run(2, settings, resume=stopped)) == digest(run(2, settings))


def test_resume_with_another_number_of_workers(run: Callable[..., Path], tiny: Callable[..., Settings]):
    settings = tiny(precision="fp64")
    stopped = run(3, settings, stop_at=120)
    assert furthest(run(2, settings, resume=stopped), run(1, settings)) <= 1e-10


def test_a_planted_change_changes_the_digest(run: Callable[..., Path], tiny: Callable[..., Settings]):
    assert digest(run(1, tiny(examples=24))) != digest(run(1, tiny(examples=24, seed=4)))
