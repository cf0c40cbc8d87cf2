"""Every option of the parts, in one family that accepts it: finite, two workers equal one, an exact resume; and what
is undefined is refused with the reason."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from tests.support.options import OPTIONS, merged
from tests.support.toy import StopAfterOneTick, by_two, furthest, numbers, packed, settings, trained
from trainers.data.packed import PackedData
from trainers.gan.family import LabelsNeeded, UnsupportedShape
from trainers.gan.registry import build, get

REMEMBER = (
    "historical averaging", "ada with r1", "lecam", "norm spectral", "betas that move", "path length", "growing",
)  # fmt: skip


def asked(option: str, **changes: Any) -> Any:
    name, params = OPTIONS[option]
    return settings(name, params=merged(get(name).tiny(), params), **({"examples": 64} | changes))


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> PackedData:
    return packed(tmp_path_factory.mktemp("toy") / "data")


@pytest.fixture(scope="module")
def pairs(toy: PackedData, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What two workers made with each option."""
    wanted = {option: asked(option, precision="fp64") for option in OPTIONS}
    return by_two(wanted, dict.fromkeys(wanted, toy), tmp_path_factory.mktemp("two"))


@pytest.mark.parametrize("option", OPTIONS)
def test_two_workers_equal_one_and_all_is_finite(option: str, toy: PackedData, pairs: dict[str, Path], tmp_path: Path):
    alone = trained(toy, tmp_path, asked(option, precision="fp64"))
    assert furthest(alone.checkpoint, pairs[option]) <= 1e-10


@pytest.mark.parametrize("option", REMEMBER)
def test_what_is_remembered_is_in_the_checkpoint(option: str, toy: PackedData, tmp_path: Path):
    whole = trained(toy, tmp_path / "whole", asked(option))
    stopped = trained(toy, tmp_path / "stopped", asked(option), hooks=StopAfterOneTick())
    resumed = trained(toy, tmp_path / "resumed", asked(option), resume=stopped.checkpoint)
    left, right = numbers(whole.checkpoint), numbers(resumed.checkpoint)
    assert stopped.steps < whole.steps
    assert all(torch.equal(left[key], right[key]) for key in left)


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "growing before a view": (
        "dcgan",
        {"growing": {}, "discriminator": {"view": "scales", "count": 2}},
        "view is 'scales', of pictures of one size",
    ),
    "smoothing without a target": ("dcgan", {"loss": "hinge", "stabilisers": {"label_smoothing": 0.9}}, "no target"),
    "smoothing of fakes": ("dcgan", {"stabilisers": {"label_smoothing": 0.4}}, "greater than 0.5"),
    **{
        f"{name} with batch norm": ("dcgan", {"penalties": {name: {}}}, f"{name} is a gradient per sample")
        for name in ("r1", "r2", "gradient_penalty", "dragan")
    },
    "path length with batch norm": (
        "dcgan",
        {"penalties": {"path_length": {}}},
        r"path_length is a gradient per sample, and generator\.norm 'batch'",
    ),
    "path length in parts": (
        "dcgan",
        {"penalties": {"path_length": {}}, "generator": {"norm": "none"}, "execution": {"gradient_accumulation": 2}},
        r"penalties\.path_length needs the whole batch",
    ),
    "a view for one": ("dcgan", {"discriminator": {"view": "scales"}}, "count is 1; set count to 2 or more"),
    "two augmentations": ("dcgan", {"augment": {"ada": {}, "diffaugment": {}}}, "not both"),
    "instance norm of vectors": ("gan", {"discriminator": {"norm": "instance"}}, "nothing would be left"),
    "norms in r3gan": ("r3gan", {"discriminator": {"norm": "layer"}}, "unit scale"),
    "stddev of vectors": ("gan", {"discriminator": {"minibatch": "stddev"}}, "feature map"),
    "growth of dense networks": (
        "gan",
        {"growing": {}},
        r"growing\.start is 8, and dense networks have no feature maps",
    ),
    "sgd with moments": ("gan", {"generator": {"optimizer": "sgd", "final_betas": [0, 0.9]}}, "Adam's"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_undefined_is_refused_with_the_reason(case: str):
    name, params, reason = REFUSED[case]
    with pytest.raises(ValidationError, match=reason):
        build(name, params, shape=(1, 16, 16), classes=2)


def test_attention_where_no_feature_map_is():
    with pytest.raises(UnsupportedShape, match="attention is 64; feature maps are of 4 or 8 pixels"):
        build("dcgan", {"attention": 64}, shape=(1, 16, 16), classes=None)


@pytest.mark.parametrize(
    ("family", "count", "side", "reason"),
    [
        ("dcgan", 3, 16, r"halves pictures 2 times, and 16x16 can be halved 1 times here \(evenly, to 8 pixels"),
        ("r3gan", 4, 16, r"halves pictures 3 times, and 16x16 can be halved 2 times here \(evenly, to 4 pixels"),
        ("gan", 4, 28, r"halves pictures 3 times, and 28x28 can be halved 2 times here \(evenly, to 1 pixels"),
        ("gan", 2, 1, "the data is vectors"),
    ],
)
def test_views_that_are_too_small(family: str, count: int, side: int, reason: str):
    with pytest.raises(UnsupportedShape, match=reason):
        build(family, {"discriminator": {"view": "scales", "count": count}}, shape=(1, side, side), classes=None)


def test_growing_from_where_no_feature_map_is():
    with pytest.raises(UnsupportedShape, match=r"growing.start is 16; pictures of 16 pixels grow from 8$"):
        build("dcgan", {"growing": {"start": 16}}, shape=(1, 16, 16), classes=None)


def test_conditioning_without_labels():
    with pytest.raises(LabelsNeeded, match="the data has no labels"):
        build("sngan", {"conditioning": "projection"}, shape=(1, 16, 16), classes=None)


def test_a_part_given_in_part_keeps_the_familys_own_defaults():
    wgan = build("wgan", {"discriminator": {"lr": 1e-4}}, shape=(1, 16, 16), classes=None)
    critic = wgan.optimizers()["discriminator"]
    assert (critic.optimizer, critic.steps, critic.clip, critic.lr) == ("rmsprop", 5, 0.01, 1e-4)
    r3gan = build("r3gan", {"penalties": {"r1": {"weight": 2.0}}}, shape=(1, 16, 16), classes=None)
    assert (r3gan.config.penalties.r1.final_weight, r3gan.config.penalties.r2.weight) == (0.005, 0.05)  # type: ignore[attr-defined]
