"""Faults planted into a training, as families: what `health` must name."""

import torch
from torch import Tensor, nn

from trainers.families.dcgan import DCGAN
from trainers.phase import Batch
from trainers.randomness.draws import Draws
from trainers.randomness.keys import key

NAN = float("nan")


class SpoiledOnce(DCGAN):
    """Its fakes turn to NaN on the 20th step, until the training has gone back: then its draws have another seed."""

    at, seed, lines = 20, 3, 1

    def _fakes(self, generator: nn.Module, reals: Batch, draws: Draws) -> Batch:
        fakes = super()._fakes(generator, reals, draws)
        bad = draws.step == self.at and draws.seed in self._bad_seeds()
        return Batch(samples=fakes.samples * (NAN if bad else 1), labels=None)

    def _bad_seeds(self) -> list[int]:
        return [key(self.seed, "rollback", line)[0] if line else self.seed for line in range(self.lines)]


class SpoiledTwice(SpoiledOnce):
    """Again after it went back for the first time."""

    lines = 2


class Spoiled(DCGAN):
    """Its fakes are NaN."""

    def generate(self, network: nn.Module, latents: Tensor, labels: Tensor | None) -> Tensor:
        return super().generate(network, latents, labels) * NAN


class Deaf(DCGAN):
    """Its generator does not look at its latents: every sample is the same."""

    def generate(self, network: nn.Module, latents: Tensor, labels: Tensor | None) -> Tensor:
        return super().generate(network, 0 * latents + 1, labels)


class DeafOnce(SpoiledOnce):
    """Its generator stops looking at its latents at a step, as its weights then are, until the training has gone back."""

    at = 210

    def networks(self) -> dict[str, nn.Module]:
        networks = super().networks()
        networks["generator"].register_buffer("hearing", torch.ones(()))
        return networks

    def generate(self, network: nn.Module, latents: Tensor, labels: Tensor | None) -> Tensor:
        hearing = network.get_buffer("hearing")
        return super().generate(network, latents * hearing + (1 - hearing), labels)

    def _fakes(self, generator: nn.Module, reals: Batch, draws: Draws) -> Batch:
        if draws.step == self.at and draws.seed == self.seed:
            generator.get_buffer("hearing").zero_()
        return DCGAN._fakes(self, generator, reals, draws)
