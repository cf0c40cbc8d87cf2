"""Gradient accumulation computes what one pass computes, and says when it cannot."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from test_equal_workers import TINY, WITH_R1, furthest, run
from trainers_gang import Gang

from trainers.data.packed import PackedData
from trainers.gan.registry import build
from trainers.hooks import NoHooks
from trainers.loop import train
from trainers.randomness.groups import BadSplit
from trainers.settings import Settings

__all__ = ["Gang", "run"]

EAGER_R1 = TINY | {"discriminator": {"norm": "none"}, "penalties": {"r1": {"weight": 5}}}
SPECTRAL = TINY | {"discriminator": {"norm": "spectral"}, "generator": {"norm": "spectral"}}


def in_passes(params: dict[str, Any], count: int) -> dict[str, Any]:
    return params | {"execution": {"gradient_accumulation": count}}


@pytest.mark.parametrize("params", [TINY, WITH_R1, EAGER_R1, SPECTRAL], ids=["batch", "lazy R1", "R1", "spectral"])
def test_three_passes_equal_one(
    shapes16: PackedData, tiny: Callable[..., Settings], tmp_path: Path, params: dict[str, Any]
):
    def trained(count: int) -> Path:
        settings = tiny(params=in_passes(params, count), precision="fp64", examples=240)
        folder = train(settings, shapes16, workspace=tmp_path / str(count), resume=None, hooks=NoHooks()).checkpoint
        assert folder
        return folder

    assert furthest(trained(1), trained(3)) <= 1e-10


def test_two_workers_in_passes_equal_one_worker_in_one(run: Callable[..., Path], tiny: Callable[..., Settings]):
    one, three = (tiny(params=in_passes(TINY, count), precision="fp64") for count in (1, 3))
    assert furthest(run(1, one), run(2, three)) <= 1e-10


def test_what_needs_the_whole_batch_at_once_is_refused():
    params = in_passes({"stabilisers": {"feature_matching": {}}}, 2)
    with pytest.raises(ValidationError, match=r"stabilisers\.feature_matching needs the whole batch"):
        build("dcgan", params, shape=(1, 16, 16), classes=None)


def test_groups_are_not_split(shapes16: PackedData, tiny: Callable[..., Settings], tmp_path: Path):
    with pytest.raises(BadSplit, match="gradient_accumulation 4 cannot share the 6 groups of 4"):
        train(tiny(params=in_passes(TINY, 4)), shapes16, workspace=tmp_path, resume=None, hooks=NoHooks())
