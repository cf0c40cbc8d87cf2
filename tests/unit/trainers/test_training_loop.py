"""One rank: what the loop reports, keeps and ends with."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_equal_workers import StopAt, digest
from torch import Tensor, nn

from trainers import checkpoint
from trainers.compatible import WrongCheckpoint
from trainers.data.packed import PackedData
from trainers.engine import UntouchedWeights
from trainers.families.dcgan import DCGAN
from trainers.generation.sampling import Sampler
from trainers.hooks import NoHooks, Tick
from trainers.loop import train
from trainers.monitoring.health import Diverged
from trainers.randomness.groups import BadSplit
from trainers.settings import Settings

TinySettings = Callable[..., Settings]


class Recorder(NoHooks):
    def __init__(self, command: str = "continue", at: int = 0) -> None:
        self.ticks: list[Tick] = []
        self.checkpoints: list[tuple[str, int]] = []
        self.grids: list[tuple[str, int]] = []
        self.threads: set[str] = set()
        self._command, self._at = command, at

    def tick(self, tick: Tick) -> str:
        self.ticks.append(tick)
        return self._command if tick.examples >= self._at else "continue"

    def checkpoint(self, folder: Path, examples: int) -> None:
        checkpoint.load(folder)
        self.threads.add(threading.current_thread().name)
        self.checkpoints.append((folder.name, examples))

    def grid(self, path: Path, examples: int) -> None:
        self.grids.append((path.name, examples))


def test_a_whole_training(tiny: TinySettings, shapes16: PackedData, workspace: Path):
    hooks = Recorder()
    outcome = train(tiny(), shapes16, workspace=workspace, resume=None, hooks=hooks)

    assert (outcome.status, outcome.examples, outcome.steps) == ("finished", 240, 10)
    assert hooks.checkpoints == [("000000000120", 120), ("000000000240", 240)]
    assert hooks.grids == [("000000000120.png", 120), ("000000000240.png", 240)]
    assert threading.main_thread().name not in hooks.threads
    assert outcome.checkpoint == workspace / "checkpoints" / "000000000240"
    assert outcome.grid == workspace / "grids" / "000000000240.png"
    with Image.open(outcome.grid) as grid:
        assert grid.size == (48, 48)
    assert (workspace / "losses.png").stat().st_size > 0

    lines = [json.loads(line) for line in (workspace / "stats.jsonl").read_text().splitlines()]
    assert [line["examples"] for line in lines] == [tick.examples for tick in hooks.ticks]
    assert set(lines[0]["stats"]) == {
        "loss/discriminator",
        "loss/generator",
        "grad_norm/discriminator",
        "grad_norm/generator",
        "lr/discriminator",
        "lr/generator",
        "logits/real",
        "logits/fake",
        "health/diversity",
        "health/duplicates",
        "health/reach",
        "health/class_entropy",
    }
    assert set(lines[0]["activity_seconds"]) == {"data", "discriminator", "generator", "health"}

    assert outcome.model is not None
    samples, labels = Sampler.load(outcome.model).samples(0, 9, seed=3)
    assert labels is None
    tiled = np.asarray(Image.open(outcome.grid)).reshape(3, 16, 3, 16, 3).transpose(0, 2, 4, 1, 3).reshape(9, 3, 16, 16)
    assert np.array_equal(tiled, samples)


@pytest.mark.parametrize(("command", "status"), [("checkpoint_and_stop", "stopped"), ("cancel", "cancelled")])
def test_a_command_ends_it_with_a_checkpoint_and_loses_no_step(
    tiny: TinySettings, shapes16: PackedData, workspace: Path, command: str, status: str
):
    hooks = Recorder(command, at=72)
    outcome = train(tiny(), shapes16, workspace=workspace, resume=None, hooks=hooks)
    assert (outcome.status, outcome.model, outcome.grid) == (status, None, None)
    assert hooks.ticks[-1].examples == outcome.examples < 240
    assert outcome.checkpoint is not None
    assert checkpoint.read_commit(outcome.checkpoint)["examples"] == outcome.examples
    assert hooks.checkpoints[-1] == (outcome.checkpoint.name, outcome.examples)


def test_a_resume_reports_the_examples_of_all_attempts(tiny: TinySettings, shapes16: PackedData, tmp_path: Path):
    stopped = train(tiny(), shapes16, workspace=tmp_path / "1", resume=None, hooks=StopAt(72))
    hooks = Recorder()
    train(tiny(), shapes16, workspace=tmp_path / "2", resume=stopped.checkpoint, hooks=hooks)
    assert hooks.ticks[0].examples == stopped.examples + 24
    assert hooks.ticks[-1].examples == 240


def test_a_finished_training_can_be_resumed_to_make_its_outputs_again(
    tiny: TinySettings, shapes16: PackedData, tmp_path: Path
):
    first = train(tiny(), shapes16, workspace=tmp_path / "1", resume=None, hooks=NoHooks())
    again = train(tiny(), shapes16, workspace=tmp_path / "2", resume=first.checkpoint, hooks=NoHooks())
    assert again.status == "finished"
    for name in ("generator.safetensors", "config.json"):
        assert (first.model / name).read_bytes() == (again.model / name).read_bytes()  # type: ignore[operator]
    assert digest(first.checkpoint) == digest(again.checkpoint)  # type: ignore[arg-type]


def test_what_is_saved_is_the_snapshot_although_training_goes_on(
    tiny: TinySettings, shapes16: PackedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write = checkpoint.write

    def slow_write(*args, **kwargs) -> None:
        time.sleep(0.2)  # in which several steps are taken
        write(*args, **kwargs)

    settings = tiny(checkpoint_every=48)
    stopped = train(settings, shapes16, workspace=tmp_path / "1", resume=None, hooks=StopAt(48))
    monkeypatch.setattr(checkpoint, "write", slow_write)
    kept = Recorder()
    kept.checkpoint = lambda folder, examples: digests.setdefault(examples, digest(folder))  # type: ignore[method-assign]
    digests: dict[int, str] = {}
    train(settings, shapes16, workspace=tmp_path / "2", resume=None, hooks=kept)
    assert digests[48] == digest(stopped.checkpoint)  # type: ignore[arg-type]


def test_only_the_last_two_checkpoints_stay(tiny: TinySettings, shapes16: PackedData, workspace: Path):
    hooks = Recorder()
    train(tiny(checkpoint_every=24), shapes16, workspace=workspace, resume=None, hooks=hooks)
    assert len(hooks.checkpoints) == 10
    assert sorted(path.name for path in (workspace / "checkpoints").iterdir()) == ["000000000216", "000000000240"]


def test_a_failing_upload_ends_the_training_with_its_error(tiny: TinySettings, shapes16: PackedData, workspace: Path):
    class Broken(NoHooks):
        def checkpoint(self, folder: Path, examples: int) -> None:
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        train(tiny(checkpoint_every=24), shapes16, workspace=workspace, resume=None, hooks=Broken())


class Exploding(DCGAN):
    def generate(self, network: nn.Module, latents: Tensor, labels: Tensor | None) -> Tensor:
        return super().generate(network, latents, labels) * float("nan")


def test_divergence_is_found_at_the_tick_and_told_with_its_evidence(
    tiny: TinySettings, shapes16: PackedData, workspace: Path
):
    with pytest.raises(Diverged, match="loss/generator = nan") as raised:
        train(tiny(family_object=Exploding), shapes16, workspace=workspace, resume=None, hooks=NoHooks())
    assert raised.value.examples == 24
    assert not (workspace / "checkpoints").exists()


def test_divergence_can_be_let_be(tiny: TinySettings, shapes16: PackedData, workspace: Path):
    settings = tiny(family_object=Exploding, health={"on_divergence": "warn"})
    outcome = train(settings, shapes16, workspace=workspace, resume=None, hooks=NoHooks())
    assert outcome.status == "finished"
    first = json.loads((workspace / "stats.jsonl").read_text().splitlines()[0])
    assert first["stats"]["loss/generator"] is None


class Idle(DCGAN):
    def networks(self) -> dict[str, nn.Module]:
        networks = super().networks()
        networks["generator"].register_parameter("idle", nn.Parameter(torch.zeros(1)))
        return networks


def test_weights_that_no_loss_reaches_are_named(tiny: TinySettings, shapes16: PackedData, workspace: Path):
    with pytest.raises(UntouchedWeights, match=r"generator\.idle"):
        train(tiny(family_object=Idle), shapes16, workspace=workspace, resume=None, hooks=NoHooks())


def test_a_checkpoint_of_another_training_is_refused(tiny: TinySettings, shapes16: PackedData, tmp_path: Path):
    stopped = train(tiny(), shapes16, workspace=tmp_path / "1", resume=None, hooks=StopAt(24))
    with pytest.raises(WrongCheckpoint, match="seed 3, not 4"):
        train(tiny(seed=4), shapes16, workspace=tmp_path / "2", resume=stopped.checkpoint, hooks=NoHooks())


def test_ticks_come_in_time(tiny: TinySettings, shapes16: PackedData, workspace: Path):
    hooks = Recorder("cancel", at=24 * 60)
    settings = tiny(examples=10**6, checkpoint_every=10**6, grid_every=10**6, tick_seconds=0.3)
    train(settings, shapes16, workspace=workspace, resume=None, hooks=hooks)
    gaps = np.diff([0.0, *(tick.seconds for tick in hooks.ticks)])
    assert np.median(gaps[2:]) < 0.45
    assert hooks.ticks[0].steps == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"examples": 0}, "examples is 0"),
        ({"precision": "fp16"}, "precision is 'fp16'; it is one of auto, fp32, bf16, fp64"),
        ({"device": "tpu"}, "device is 'tpu'; it is one of cpu, cuda"),
        ({"tick_seconds": 0}, "tick_seconds is 0"),
    ],
)
def test_wrong_settings_are_named_with_the_choices(tiny: TinySettings, change: dict, message: str):
    with pytest.raises(ValueError, match=message):
        tiny(**change)


def test_a_batch_that_is_not_whole_groups_is_refused(tiny: TinySettings):
    with pytest.raises(BadSplit, match="batch_size 10 is not a multiple of group 4"):
        tiny(batch_size=10)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_learning_rates_follow_their_schedule(tiny: TinySettings, shapes16: PackedData, workspace: Path, schedule: str):
    params = {"base_channels": 8, "generator": {"lr": 0.001, "schedule": schedule}}
    hooks = Recorder()
    train(tiny(params=params), shapes16, workspace=workspace, resume=None, hooks=hooks)
    last = hooks.ticks[-1].stats["lr/generator"]
    assert last == pytest.approx({"constant": 0.001, "linear": 0.0001, "cosine": 0.0000245}[schedule], rel=0.01)


def test_several_discriminator_steps_see_several_batches(tiny: TinySettings, shapes16: PackedData, workspace: Path):
    params = {"base_channels": 8, "discriminator": {"steps": 3}}
    outcome = train(tiny(params=params), shapes16, workspace=workspace, resume=None, hooks=NoHooks())
    assert (outcome.steps, outcome.examples) == (4, 288)  # 3 · 24 examples a step


class WithDropout(DCGAN):
    """A user's family that draws from torch's own generator."""

    def networks(self) -> dict[str, nn.Module]:
        networks = super().networks()
        networks["discriminator"].get_submodule("body").insert(0, nn.Dropout(0.3))  # type: ignore[operator]
        return networks


def test_a_family_with_torchs_own_dropout_also_resumes_exactly(
    tiny: TinySettings, shapes16: PackedData, tmp_path: Path
):
    settings = tiny(family_object=WithDropout)
    whole = train(settings, shapes16, workspace=tmp_path / "1", resume=None, hooks=NoHooks())
    stopped = train(settings, shapes16, workspace=tmp_path / "2", resume=None, hooks=StopAt(72))
    torch.manual_seed(99)
    again = train(settings, shapes16, workspace=tmp_path / "3", resume=stopped.checkpoint, hooks=NoHooks())
    assert digest(again.checkpoint) == digest(whole.checkpoint)  # type: ignore[arg-type]
