"""The full product: every option with every family that accepts it, for 60 steps in float64. Run by hand: make soak."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from tests.support.options import OPTIONS, merged
from tests.support.toy import (
    BATCH,
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
from trainers.gan.family import UnsupportedShape
from trainers.gan.registry import build, built_in, get
from trainers.settings import Settings


def accepted() -> dict[str, tuple[str, dict[str, Any]]]:
    """What the engine refuses is no member of the product: tests/contract holds it to its reasons."""
    found = {}
    for option, (_, more) in OPTIONS.items():
        for name in built_in():
            params = merged(get(name).tiny(), more)
            try:
                build(name, params, shape=(1, SIDE, SIDE), classes=CLASSES)
            except (ValidationError, UnsupportedShape):
                continue
            found[f"{name}, {option}"] = name, params
    return found


ACCEPTED = accepted()
# Games that amplify rounding themselves: 2e-16 after one step, tenfold every three. A penalty differentiates the
# deviation, whose second derivative grows without bound where samples agree. Eight steps still tell a wrong sum.
STIFF = {"wgan_gp, minibatch stddev": 8}


def asked(case: str) -> Settings:
    sixty = for_sixty_steps(*ACCEPTED[case])
    return replace(sixty, examples=STIFF[case] * BATCH) if case in STIFF else sixty


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> PackedData:
    return packed(tmp_path_factory.mktemp("toy") / "data")


@pytest.fixture(scope="module")
def pairs(request: pytest.FixtureRequest, toy: PackedData, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What two workers made of each that was asked for (-k)."""
    chosen = {item.callspec.params["case"] for item in request.session.items if item.module is request.module}
    wanted = {case: asked(case) for case in ACCEPTED if case in chosen}
    return by_two(wanted, toy, tmp_path_factory.mktemp("two"))


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("case", ACCEPTED)
def test_two_workers_equal_one(case: str, toy: PackedData, pairs: dict[str, Path], tmp_path: Path) -> None:
    alone = trained(toy, tmp_path, asked(case))
    assert furthest(alone.checkpoint, pairs[case]) <= 1e-10


@pytest.mark.parametrize("case", ACCEPTED)
def test_a_resume_is_exact(case: str, toy: PackedData, tmp_path: Path) -> None:
    name, params = ACCEPTED[case]
    wanted = settings(name, params=params)
    whole = trained(toy, tmp_path / "whole", wanted)
    stopped = trained(toy, tmp_path / "stopped", wanted, hooks=StopAfterOneTick())
    resumed = trained(toy, tmp_path / "resumed", wanted, resume=stopped.checkpoint)
    left, right = numbers(whole.checkpoint), numbers(resumed.checkpoint)
    assert stopped.steps < whole.steps
    assert all(torch.equal(left[key], right[key]) for key in left)
