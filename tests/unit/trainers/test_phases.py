"""When phases have their turns, what a step shows, and what a family is refused for."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support import plugin
from tests.support.toy import packed, settings, trained
from trainers.batch import Batch, Examples
from trainers.config import OptimizerConfig
from trainers.data.inputs import InputsMissing
from trainers.data.stream import Unpairable
from trainers.gan.helpers import HelperMissing
from trainers.phase import Loss, Phase, batches_in

plugin.install()


def phase(name: str = "generator", **changes: Any) -> Phase:
    return Phase(name=name, trains=(name,), optimizer=name, loss=lambda *_: Loss(value=torch.zeros(())), **changes)


@pytest.mark.parametrize(
    ("moments", "due"),
    [
        ({}, [True, True, True, True]),
        ({"begin": 100}, [False, True, True, True]),
        ({"begin": 0.5}, [False, False, True, True]),
        ({"end": 0.5}, [True, True, False, False]),
        ({"begin": 100, "end": 0.75}, [False, True, True, False]),
        ({"interval": 2}, [True, False, True, False]),
    ],
)
def test_a_phase_has_its_turns_between_its_begin_and_its_end(moments: dict[str, Any], due: list[bool]):
    assert [phase(**moments).is_due(step, 100 * step, 400) for step in range(4)] == due


def test_a_step_shows_as_many_batches_as_phases_take_anew():
    course = [
        phase("school", new_batch=True, end=100),
        phase("judge", new_batch=True, begin=100, steps=lambda step: 5 if step == 2 else 2),
        phase("maker", begin=100),
    ]
    assert [batches_in(course, step, examples, 1000) for step, examples in ((0, 0), (1, 100), (2, 200))] == [1, 2, 5]
    assert batches_in([phase("maker")], 0, 0, 1000) == 1  # the first always takes one


def test_a_batch_taken_twice_repeats_group_by_group():
    batch = Batch(inputs={"real": Examples(samples=torch.arange(6.0)[:, None, None, None], labels=torch.arange(6))})
    twice = batch.repeated(2, 2)["real"]
    assert twice.labels is not None
    assert twice.labels.tolist() == [0, 1, 0, 1, 2, 3, 2, 3, 4, 5, 4, 5]
    assert twice.samples.flatten().tolist() == twice.labels.tolist()


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        ({}, [1, 1, 1, 1, 1]),
        ({"schedule": "linear"}, [1, 0.75, 0.5, 0.25, 0]),
        ({"schedule": "linear", "decay_from": 0.5}, [1, 1, 1, 0.5, 0]),
        ({"schedule": "cosine", "final_lr": 0.5}, [1, 0.926777, 0.75, 0.573223, 0.5]),
        ({"warm_up": 0.5}, [0, 0.5, 1, 1, 1]),
        ({"warm_up": 0.25, "schedule": "linear", "decay_from": 0.5}, [0, 1, 1, 0.5, 0]),
    ],
)
def test_rates_by_the_share_of_the_training(schedule: dict[str, Any], factors: list[float]):
    config = OptimizerConfig(lr=1.0, **schedule)
    assert [config.factor(quarter / 4) for quarter in range(5)] == pytest.approx(factors, abs=1e-6)


def test_inputs_that_are_missing_are_named(tmp_path: Path):
    name, one = "toy_gans.twins:Twins", packed(tmp_path / "data")
    with pytest.raises(InputsMissing, match="the family is fed a, b, and the data is of a"):
        trained({"a": one}, tmp_path, settings(name))


def test_paired_inputs_are_equally_many(tmp_path: Path):
    sets = {"a": packed(tmp_path / "a"), "b": packed(tmp_path / "b", 40, dark=True)}
    with pytest.raises(Unpairable, match="inputs 'a' and 'b' belong together example by example, and have 64 and 40"):
        trained(sets, tmp_path, settings("toy_gans.pairs:Pairs"))


def test_a_helper_that_nothing_finds_is_an_error_before_the_first_step(tmp_path: Path):
    asked = settings("toy_gans.schooled:Schooled")
    with pytest.raises(
        HelperMissing, match=r"needs toy-eye\.safetensors \(eye\), and nothing finds it; a test makes it"
    ):
        trained(packed(tmp_path / "data"), tmp_path / "work", asked, find_helper=None)
    assert not (tmp_path / "work" / "stats.jsonl").exists()


def test_a_helper_is_in_no_checkpoint_and_no_optimizer(tmp_path: Path):
    outcome = trained(packed(tmp_path / "data"), tmp_path / "work", settings("toy_gans.schooled:Schooled"))
    assert outcome.checkpoint is not None
    assert not any("eye" in path.name for path in outcome.checkpoint.iterdir())
