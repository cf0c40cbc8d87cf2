"""What the learning runs train: every family on clothes, and the first one's dense networks on the ring."""

from dataclasses import replace
from typing import Any, NamedTuple

from jobs import load, rank
from jobs.spec import TrainJob
from trainers.settings import Settings


def _quick(lr: float, *, steps: int = 1, **more: Any) -> dict[str, Any]:
    return {"generator": {"lr": lr}, "discriminator": {"lr": lr, "steps": steps}, "ema": {"half_life": 2000}, **more}


class Recipe(NamedTuple):
    params: dict[str, Any]
    examples: int
    side: int = 32  # pixels; residual networks take a quarter of the time at 16


# Each paper's recipe with narrow networks, and rates for minutes rather than days.
CLOTHES = {
    "gan": Recipe(_quick(2e-4, generator_widths=[512, 512], pieces=3), 100_000),
    "dcgan": Recipe(_quick(4e-4, base_channels=16), 40_000),
    "cgan": Recipe(_quick(4e-4, base_channels=16), 40_000),
    "wgan": Recipe(_quick(5e-4, steps=2, base_channels=16), 80_000),
    "wgan_gp": Recipe(_quick(1e-3, steps=2, generator_channels=32, discriminator_channels=32), 50_000, 16),
    "sngan": Recipe(_quick(1e-3, steps=2, generator_channels=32, discriminator_channels=32), 50_000, 16),
    "r3gan": Recipe(
        _quick(1e-3, channels=32, blocks=1, penalties={"r1": {"weight": 1.0}, "r2": {"weight": 1.0}}), 30_000, 16
    ),
}


def ring(changes: dict[str, Any], seed: int) -> Settings:
    """The example ring.yaml, which is R3GAN's recipe on dense networks, with these parameters in place of its own."""
    (job,) = load.load_file(load.find("ring"))
    assert isinstance(job, TrainJob)
    plain = rank.settings(job, cpus=1, device="cpu")
    return replace(plain, params={**plain.params, **changes}, seed=seed, tick_seconds=0.5)


def _critic(**more: Any) -> dict[str, Any]:
    return {"lr": 1e-3, "betas": [0, 0.9], "schedule": "linear", **more}


RING: dict[str, dict[str, Any]] = {
    "relativistic, R1 and R2": {},
    "non-saturating, R1": {"loss": "non_saturating", "penalties": {"r1": {"weight": 1.0}}},
    "WGAN-GP": {
        "loss": "wasserstein",
        "penalties": {"gradient_penalty": {"weight": 0.1}},
        "discriminator": _critic(steps=3),
    },
    "hinge, spectral norm": {"loss": "hinge", "penalties": {}, "discriminator": _critic(norm="spectral")},
}
# The generator runs ahead of a discriminator that hardly moves: all samples go where it says, to one point.
CRIPPLED: dict[str, Any] = {
    "loss": "non_saturating",
    "penalties": {},
    "generator": {"lr": 1e-3, "steps": 5},
    "discriminator": {"lr": 1e-5},
}
