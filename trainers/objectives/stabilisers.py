"""What keeps a game of two steady beside penalties and augmentation."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from pydantic import Field
from torch import Tensor, nn

from trainers.config import Part
from trainers.parallel import differentiable_mean, mean_over_ranks

if TYPE_CHECKING:
    from trainers.gan.turn import Turn


class FeatureMatching(Part):
    """The generator matches the mean of the discriminator's features (Salimans et al., 1606.03498)."""

    weight: float = Field(default=1.0, gt=0)
    adversarial: bool = Field(default=False, description="keep the adversarial loss beside it")

    def term(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return ‖mean(fake) - mean(real)‖² over the whole batch, weighted. real, fake: [n, d]"""
        return self.weight * (differentiable_mean(fake.mean(0)) - mean_over_ranks(real.mean(0))).square().sum()


class HistoricalAveraging(Part):
    """Each player pays for the distance of its weights to their mean over the training (1606.03498)."""

    weight: float = Field(default=1.0, gt=0)

    def state(self, networks: Mapping[str, nn.Module]) -> dict[str, Tensor]:
        """Return a mean of the weights and a count for each network."""
        means = {f"mean_{name}": torch.zeros(_size(network)) for name, network in networks.items()}
        return means | {f"turns_{name}": torch.zeros(()) for name in networks}

    def term(self, turn: "Turn", name: str, network: nn.Module) -> Tensor:
        """Return the weighted ‖θ - mean of earlier θ‖², whose mean then moves on."""
        term = self.weight * distance_from_past(name, network, turn.state)
        turn.stats[f"historical_averaging/{name}"] = term.detach()
        return term


def distance_from_past(name: str, network: nn.Module, state: Mapping[str, Tensor]) -> Tensor:
    """Return ‖θ - mean of earlier θ‖², 0 at first; the mean in `state` then moves on."""
    weights = torch.cat([p.flatten() for p in network.parameters()])
    mean, turns = state[f"mean_{name}"], state[f"turns_{name}"]
    gap = (weights - mean.clone()).square().sum() * (turns > 0).to(weights.dtype)
    with torch.no_grad():
        turns += 1
        mean.lerp_(weights, 1 / turns)
    return gap


class InstanceNoise(Part):
    """Noise on all that the discriminator sees (1610.04490)."""

    deviation: float = Field(default=0.1, gt=0, description="at the start, in units of -1..1")
    until: float = Field(default=1.0, gt=0, le=1, description="share of the training after which it is gone")

    def at(self, progress: float) -> float:
        return self.deviation * max(0.0, 1 - progress / self.until)


class Stabilisers(Part):
    """null means none."""

    label_smoothing: float | None = Field(
        default=None, gt=0.5, lt=1, description="target for reals, 0.9 as a rule; fakes are never smoothed (1606.03498)"
    )
    feature_matching: FeatureMatching | None = None
    historical_averaging: HistoricalAveraging | None = None
    instance_noise: InstanceNoise | None = None


def _size(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())
