"""Every option of the parts, in one family that accepts it: finite, two workers equal one, an exact resume; and what
is undefined is refused with the reason."""

import socket
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from pydantic import ValidationError
from test_families import StopAfterOneTick, numbers, settings, toy, trained

from trainers.data.packed import PackedData, open_packed
from trainers.family import LabelsNeeded, UnsupportedShape, build, get

__all__ = ["toy"]

PLAIN: dict[str, Any] = {"norm": "none"}


def penalty(name: str, **values: Any) -> tuple[str, dict[str, Any]]:
    return "dcgan", {"discriminator": PLAIN, "penalties": {name: values}}


def in_stabilisers(name: str, value: Any) -> tuple[str, dict[str, Any]]:
    return "dcgan", {"stabilisers": {name: value}}


OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    **{f"loss {name}": ("dcgan", {"loss": name}) for name in ("minimax", "logistic", "least_squares", "relativistic")},
    "r1 lazy": penalty("r1", every=2),
    "r2": penalty("r2"),
    "r1 falling": penalty("r1", final_weight=1.0),
    "gradient penalty with drift": penalty("gradient_penalty", drift=1e-3),
    "dragan": penalty("dragan", every=2),
    "orthogonal": penalty("orthogonal"),
    "consistency": penalty("consistency"),
    "lecam": penalty("lecam"),
    "label smoothing": in_stabilisers("label_smoothing", 0.9),
    "feature matching": in_stabilisers("feature_matching", {}),
    "historical averaging": in_stabilisers("historical_averaging", {"weight": 0.01}),
    "instance noise": in_stabilisers("instance_noise", {"until": 0.5}),
    "diffaugment": ("dcgan", {"augment": {"diffaugment": {}, "flips": True}}),
    "ada with r1": (
        "dcgan",
        {
            "discriminator": PLAIN,
            "penalties": {"r1": {}},
            "augment": {"ada": {"initial": 0.7, "ramp": 100, "every": 2}},
        },
    ),
    "three discriminators": ("dcgan", {"discriminator": {"count": 3, "norm": "none"}, "penalties": {"r1": {}}}),
    "minibatch stddev": ("dcgan", {"discriminator": {"minibatch": "stddev"}}),
    "minibatch discrimination": ("dcgan", {"discriminator": {"minibatch": "discrimination"}}),
    "attention with a penalty": ("wgan_gp", {"attention": 8}),
    **{
        f"norm {name}": ("dcgan", {"discriminator": {"norm": name}})
        for name in ("instance", "layer", "pixel", "spectral")
    },
    "spectral norm in both": ("dcgan", {"discriminator": {"norm": "spectral"}, "generator": {"norm": "spectral"}}),
    **{f"cgan {how}": ("cgan", {"conditioning": how}) for how in ("auxiliary", "concat")},
    **{f"{name} projection": (name, {"conditioning": "projection"}) for name in ("gan", "wgan_gp", "sngan", "r3gan")},
    "uniform latents": ("dcgan", {"latent": {"dim": 16, "distribution": "uniform"}}),
    "sgd": ("gan", {"generator": {"optimizer": "sgd", "lr": 0.01, "schedule": "linear", "final_lr": 1e-3}}),
    "betas that move": ("dcgan", {"generator": {"final_betas": [0.0, 0.99]}}),
}


def asked(option: str, **changes: Any) -> Any:
    name, params = OPTIONS[option]
    return settings(name, params=merged(get(name).tiny(), params), **({"examples": 64} | changes))


def merged(base: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    nested = {key: merged(base[key], value) for key, value in more.items() if isinstance(base.get(key), dict)}
    return base | more | nested


def rank_main(rank: int, port: int, data: Path, workspace: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    for option in OPTIONS:
        trained(open_packed(data), workspace / option / str(rank), asked(option, precision="fp64"))
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def by_two(toy: PackedData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """<option>/0: what two workers made, in one process group."""
    workspace = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(rank_main, (port, toy.folder, workspace), nprocs=2)
    return workspace


@pytest.mark.parametrize("option", OPTIONS)
def test_two_workers_equal_one_and_all_is_finite(option: str, toy: PackedData, by_two: Path, tmp_path: Path):
    alone = trained(toy, tmp_path, asked(option, precision="fp64"))
    left, right = numbers(alone.checkpoint), numbers(by_two / option / "0" / "checkpoints" / f"{alone.examples:012d}")
    assert all(torch.isfinite(value).all() for value in left.values())
    assert max(float((left[key] - right[key]).abs().max()) for key in left) <= 1e-10


@pytest.mark.parametrize("option", ["historical averaging", "ada with r1", "lecam", "norm spectral", "betas that move"])
def test_what_is_remembered_is_in_the_checkpoint(option: str, toy: PackedData, tmp_path: Path):
    whole = trained(toy, tmp_path / "whole", asked(option))
    stopped = trained(toy, tmp_path / "stopped", asked(option), hooks=StopAfterOneTick())
    resumed = trained(toy, tmp_path / "resumed", asked(option), resume=stopped.checkpoint)
    left, right = numbers(whole.checkpoint), numbers(resumed.checkpoint)
    assert stopped.steps < whole.steps
    assert all(torch.equal(left[key], right[key]) for key in left)


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "smoothing without a target": ("dcgan", {"loss": "hinge", "stabilisers": {"label_smoothing": 0.9}}, "no target"),
    "smoothing of fakes": ("dcgan", {"stabilisers": {"label_smoothing": 0.4}}, "greater than 0.5"),
    **{
        f"{name} with batch norm": ("dcgan", {"penalties": {name: {}}}, f"{name} is a gradient per sample")
        for name in ("r1", "r2", "gradient_penalty", "dragan")
    },
    "two augmentations": ("dcgan", {"augment": {"ada": {}, "diffaugment": {}}}, "not both"),
    "norms in r3gan": ("r3gan", {"discriminator": {"norm": "layer"}}, "unit scale"),
    "stddev of vectors": ("gan", {"discriminator": {"minibatch": "stddev"}}, "feature map"),
    "sgd with moments": ("gan", {"generator": {"optimizer": "sgd", "final_betas": [0, 0.9]}}, "Adam's"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_undefined_is_refused_with_the_reason(case: str):
    name, params, reason = REFUSED[case]
    with pytest.raises(ValidationError, match=reason):
        build(name, params, shape=(1, 16, 16), classes=2)


def test_attention_where_no_feature_map_is():
    with pytest.raises(UnsupportedShape, match=r"attention is 64; feature maps are of \(4, 8\)"):
        build("dcgan", {"attention": 64}, shape=(1, 16, 16), classes=None)


def test_conditioning_without_labels():
    with pytest.raises(LabelsNeeded, match="the data has no labels"):
        build("sngan", {"conditioning": "projection"}, shape=(1, 16, 16), classes=None)


def test_a_part_given_in_part_keeps_the_familys_own_defaults():
    wgan = build("wgan", {"discriminator": {"lr": 1e-4}}, shape=(1, 16, 16), classes=None)
    critic = wgan.players()["discriminator"]
    assert (critic.optimizer, critic.steps, critic.clip, critic.lr) == ("rmsprop", 5, 0.01, 1e-4)
    r3gan = build("r3gan", {"penalties": {"r1": {"weight": 2.0}}}, shape=(1, 16, 16), classes=None)
    assert (r3gan.config.penalties.r1.final_weight, r3gan.config.penalties.r2.weight) == (0.005, 0.05)  # type: ignore[attr-defined]
