"""Faults planted into a training, as families: what `health` must name."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from trainers.batch import Batch, Examples
from trainers.families.dcgan import DCGAN
from trainers.gan.turn import Turn
from trainers.phase import Loss, Networks
from trainers.randomness.draws import Draws
from trainers.randomness.keys import key

NAN = float("nan")


class Planted(DCGAN):
    """Knows the draws of the optimizer step that it is in."""

    draws: Draws

    def _loss(self, of_turn: Callable[[Turn], Loss]) -> Callable[[Networks, Batch, Draws], Loss]:
        plain = super()._loss(of_turn)

        def loss(networks: Networks, batch: Batch, draws: Draws) -> Loss:
            self.draws = draws
            return plain(networks, batch, draws)

        return loss


class SpoiledOnce(Planted):
    """Its fakes turn to NaN on the 20th step, until the training has gone back: then its draws have another seed."""

    at, seed, lines = 20, 3, 1

    def fakes(self, generator: nn.Module, reals: Examples, latents: Tensor) -> Examples:
        fakes = super().fakes(generator, reals, latents)
        bad = self.draws.step == self.at and self.draws.seed in self._bad_seeds()
        return Examples(samples=fakes.samples * (NAN if bad else 1))

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

    def fakes(self, generator: nn.Module, reals: Examples, latents: Tensor) -> Examples:
        if self.draws.step == self.at and self.draws.seed == self.seed:
            generator.get_buffer("hearing").zero_()
        return DCGAN.fakes(self, generator, reals, latents)
