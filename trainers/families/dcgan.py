"""DCGAN: Radford, Metz and Chintala, 1511.06434.

Strided and transposed convolutions of 4x4, no pooling and no dense stack; batch norm everywhere but at the generator's
output and the discriminator's input; ReLU and tanh in the generator, leaky ReLU of 0.2 in the discriminator; weights
N(0, 0.02). Labels are ignored.
"""

from collections.abc import Mapping
from itertools import pairwise
from math import log2
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from trainers.adversarial import DISCRIMINATOR, GENERATOR, TwoPlayers
from trainers.draws import Draws
from trainers.family import Family, FamilyConfig
from trainers.layers.batch_norm import GroupBatchNorm2d
from trainers.losses import LossName
from trainers.parts import Penalties, Player
from trainers.phase import Batch, Phase

Norm = Literal["batch", "none"]


class Discriminator(Player):
    """How the discriminator is trained, and what is peculiar to it."""

    norm: Norm = Field(default="batch", description="none is no DCGAN any more, but R1 needs it")


class Config(FamilyConfig):
    """DCGAN's parameters."""

    base_channels: int = Field(
        default=64, ge=1, description="channels beside the picture; they double with every halving"
    )
    loss: LossName = Field(default="non_saturating", description="the adversarial loss")
    penalties: Penalties = Penalties()
    generator: Player = Player()
    discriminator: Discriminator = Discriminator()

    @model_validator(mode="after")
    def _r1_needs_independent_samples(self) -> "Config":
        if self.penalties.r1 and self.discriminator.norm == "batch":
            raise ValueError(
                "penalties.r1 is a gradient per sample, and discriminator.norm 'batch' couples the samples; "
                "set discriminator.norm to 'none'"
            )
        return self


class DCGAN(Family[Config]):
    summary = "deep convolutional GAN: the plain, quick baseline for pictures of 16 to 128 pixels"
    paper = "https://arxiv.org/abs/1511.06434"
    resolutions = (16, 32, 64, 128)
    Config: ClassVar[type[FamilyConfig]] = Config

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        rates: dict[str, Any] = {"generator": {"lr": 2e-3}, "discriminator": {"lr": 5e-4}}
        return {"base_channels": 8, "latent": {"dim": 16}, "ema": {"half_life": 100}, **rates}

    def networks(self) -> dict[str, nn.Module]:
        generator = _generator(self.config.latent.dim, self.config.base_channels, self.shape)
        discriminator = _discriminator(self.config.base_channels, self.shape, self.config.discriminator.norm)
        return {GENERATOR: generator.apply(_init), DISCRIMINATOR: discriminator.apply(_init)}

    def phases(self) -> list[Phase]:
        return TwoPlayers(
            loss=self.config.loss,
            penalties=self.config.penalties,
            discriminator=self.config.discriminator,
            generator=self.config.generator,
            fakes=self._fakes,
            logits=lambda discriminator, batch: discriminator(batch.samples).flatten(),
        ).phases()

    def players(self) -> Mapping[str, Player]:
        return {GENERATOR: self.config.generator, DISCRIMINATOR: self.config.discriminator}

    def generate(self, network: nn.Module, latents: Tensor, labels: Tensor | None) -> Tensor:
        return network(latents[:, :, None, None])

    def _fakes(self, generator: nn.Module, reals: Batch, draws: Draws) -> Batch:
        return Batch(samples=self.generate(generator, self.config.latent.draw(draws), None), labels=None)


def _widths(base: int, resolution: int) -> list[int]:
    """Channels at half the resolution, a quarter, … down to 4x4: base, 2 base, …"""
    return [base * 2**level for level in range(int(log2(resolution)) - 2)]


def _generator(latent: int, base: int, shape: tuple[int, int, int]) -> nn.Sequential:
    """[n, latent, 1, 1] -> [n, *shape] in -1..1"""
    widths = _widths(base, shape[1])[::-1]
    layers: list[nn.Module] = [nn.ConvTranspose2d(latent, widths[0], 4, 1, 0, bias=False), *_after(widths[0])]
    for width_in, width_out in pairwise(widths):
        layers += [nn.ConvTranspose2d(width_in, width_out, 4, 2, 1, bias=False), *_after(width_out)]
    return nn.Sequential(*layers, nn.ConvTranspose2d(widths[-1], shape[0], 4, 2, 1, bias=False), nn.Tanh())


def _after(channels: int) -> tuple[nn.Module, nn.Module]:
    return GroupBatchNorm2d(channels), nn.ReLU(inplace=True)


def _discriminator(base: int, shape: tuple[int, int, int], norm: Norm) -> nn.Sequential:
    """[n, *shape] -> logits [n, 1, 1, 1]"""
    widths = _widths(base, shape[1])
    layers: list[nn.Module] = [nn.Conv2d(shape[0], widths[0], 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True)]
    for width_in, width_out in pairwise(widths):
        layers.append(nn.Conv2d(width_in, width_out, 4, 2, 1, bias=norm == "none"))
        layers += [GroupBatchNorm2d(width_out)] if norm == "batch" else []
        layers.append(nn.LeakyReLU(0.2, inplace=True))
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 0, bias=False))


@torch.no_grad()
def _init(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        module.weight.normal_(0, 0.02)
        if module.bias is not None:
            module.bias.zero_()
    if isinstance(module, GroupBatchNorm2d):
        module.weight.normal_(1, 0.02)
        module.bias.zero_()
