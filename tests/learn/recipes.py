"""What the learning runs train: every family on clothes, and the first one's dense networks on the ring."""

from dataclasses import replace
from typing import Any

from jobs.driver import rank
from jobs.specs import load
from jobs.specs.spec import TrainJob
from trainers.settings import Settings


def _quick(lr: float, *, steps: int = 1, **more: Any) -> dict[str, Any]:
    return {"generator": {"lr": lr}, "discriminator": {"lr": lr, "steps": steps}, "ema": {"half_life": 2000}, **more}


FALLING = {"weight": 2.0, "final_weight": 0.2, "every": 4}
# Each paper's recipe with narrow networks, and rates for minutes rather than days. (params, examples)
CLOTHES: dict[str, tuple[dict[str, Any], int]] = {
    # Batch norm in the generator: without it, or the paper's dropout, the maxout discriminator wins.
    "gan": (
        {
            "generator_widths": [256, 512],
            "pieces": 3,
            "generator": {"norm": "batch", "lr": 4e-4},
            "discriminator": {"lr": 2e-4},
            "stabilisers": {"label_smoothing": 0.9},
            "ema": {"half_life": 2000},
        },
        150_000,
    ),
    "dcgan": (_quick(4e-4, base_channels=32), 100_000),
    "cgan": (_quick(4e-4, base_channels=32), 100_000),
    # Without the paper's hundred critic steps at the beginning, which would take all of so short a training.
    "wgan": (_quick(5e-4, steps=2, base_channels=32, long_steps=2), 80_000),
    "wgan_gp": (_quick(1e-3, steps=2, generator_channels=32, discriminator_channels=32), 40_000),
    "sngan": (_quick(1e-3, steps=2, generator_channels=32, discriminator_channels=32), 60_000),
    "sagan": (_quick(1e-3, base_channels=16), 60_000),
    "biggan": (
        _quick(1e-3, base_channels=8, shared_dim=32, latent={"dim": 60})
        | {"ema": {"half_life": 2000, "ramp": 0.05, "start": 0}},
        60_000,
    ),
    "stylegan2": (
        _quick(
            0.0025,
            channel_base=512,
            channel_max=64,
            w_dim=64,
            mapping_layers=4,
            latent={"dim": 64},
            penalties={"r1": {"weight": 0.2, "every": 8}, "path_length": {"weight": 2.0, "every": 8}},
        ),
        60_000,
    ),
    # Dense 3x3 convolutions: grouped ones crawl on CPUs. Penalties, most of a step, at every fourth.
    "r3gan": (_quick(1e-3, channels=32, blocks=1, group_channels=64, penalties={"r1": FALLING, "r2": FALLING}), 40_000),
}


def ring(changes: dict[str, Any], seed: int) -> Settings:
    """The example ring.yaml, which is R3GAN's recipe on dense networks, with these parameters in place of its own."""
    (job,) = load.load_file(load.find("ring"))
    assert isinstance(job, TrainJob)
    plain = rank.settings(job, cpus=1, device="cpu")
    return replace(plain, params={**plain.params, **changes}, seed=seed, tick_seconds=0.5)


def _player(**more: Any) -> dict[str, Any]:
    return {"lr": 1e-3, "betas": [0, 0.9], "schedule": "linear"} | more


RING: dict[str, dict[str, Any]] = {
    "relativistic, R1 and R2": {},
    "non-saturating, R1": {"loss": "non_saturating", "penalties": {"r1": {"weight": 1.0}}},
    # Two time scales in place of several turns (1706.08500): the generator gets all the steps.
    "WGAN-GP": {
        "loss": "wasserstein",
        "penalties": {"gradient_penalty": {"weight": 0.1}},
        "discriminator": _player(lr=3e-3),
        "generator": _player(),
    },
    "hinge, spectral norm": {"loss": "hinge", "penalties": {}, "discriminator": _player(norm="spectral")},
}
# The generator runs ahead of a discriminator that hardly moves: all samples go where it says, to one point.
CRIPPLED: dict[str, Any] = {
    "loss": "non_saturating",
    "penalties": {},
    "generator": {"lr": 1e-3, "steps": 5},
    "discriminator": {"lr": 1e-5},
}
