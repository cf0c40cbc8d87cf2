"""A mapping network, truncation towards an average of w, two mixed latents and noise inputs: StyleGAN (1812.04948) at its
least."""

from collections.abc import Mapping
from math import prod
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from trainers.batch import Batch, Examples
from trainers.config import OptimizerConfig
from trainers.gan.family import REAL, Family, FamilyConfig, Request, Role, SamplerSpec
from trainers.layers.grouped import RunningStatistics
from trainers.objectives.losses import adversarial_loss
from trainers.objectives.penalties.r1 import half_squared_slope
from trainers.phase import Loss, Networks, Phase
from trainers.randomness.draws import Draws
from trainers.randomness.source import drawn

OBJECTIVE = adversarial_loss("logistic")
LAYERS = 2


class Config(FamilyConfig):
    """The parameters of Styled."""

    channels: int = Field(default=32, ge=1, description="of every feature map, and numbers of w")
    r1: float = Field(default=1.0, ge=0, description="weight of the penalty on slopes at reals (1801.04406)")
    generator: OptimizerConfig = OptimizerConfig(betas=(0.0, 0.99))
    discriminator: OptimizerConfig = OptimizerConfig(betas=(0.0, 0.99))


class Styled(Family[Config]):
    summary = "a generator whose layers are styled by a mapped latent"
    paper = "https://arxiv.org/abs/1812.04948"
    resolutions = (16, 32)
    Config: ClassVar[type[FamilyConfig]] = Config

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        fast = {"lr": 2e-3}
        return {
            "channels": 16,
            "latent": {"dim": 16},
            "ema": {"half_life": 100},
            "generator": fast,
            "discriminator": fast,
        }

    def networks(self) -> dict[str, nn.Module]:
        channels, size = self.config.channels, prod(self.shape)
        judge = nn.Sequential(
            nn.Flatten(), nn.Linear(size, 4 * channels), nn.LeakyReLU(0.2), nn.Linear(4 * channels, 1)
        )
        return {
            "mapping": _Mapping(self.config.latent.dim, channels),
            "synthesis": _Synthesis(channels, self.shape),
            "discriminator": judge,
        }

    def phases(self) -> list[Phase]:
        return [
            Phase(
                name="discriminator",
                trains=("discriminator",),
                optimizer="discriminator",
                loss=self._tell_apart,
                new_batch=True,
            ),
            Phase(name="generator", trains=("mapping", "synthesis"), optimizer="generator", loss=self._fool),
        ]

    def optimizers(self) -> Mapping[str, OptimizerConfig]:
        return {"generator": self.config.generator, "discriminator": self.config.discriminator}

    def samplers(self) -> Mapping[str, SamplerSpec]:
        return {
            "samples": SamplerSpec(networks=("mapping", "synthesis"), run=self._made, truncation="network", mixes=True)
        }

    def roles(self) -> tuple[Role, ...]:
        return (
            Role(
                generator="synthesis",
                generator_phase="generator",
                discriminator="discriminator",
                discriminator_phase="discriminator",
                sampler="samples",
                at_chance=OBJECTIVE.at_chance,
            ),
        )

    def judge(self, discriminator: nn.Module, examples: Examples) -> Tensor:
        return discriminator(examples.samples)

    def _tell_apart(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        with torch.no_grad():
            fakes = self._fakes(networks, draws)
        real, fake = networks["discriminator"](torch.cat([batch[REAL].samples, fakes])).chunk(2)
        slope = half_squared_slope(networks["discriminator"], batch[REAL].samples)
        value = OBJECTIVE.discriminator(real, fake) + self.config.r1 * slope
        return Loss(value=value, stats={"logits/real": real.detach().mean()})

    def _fool(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        return Loss(value=OBJECTIVE.generator(networks["discriminator"](self._fakes(networks, draws)), None))

    def _fakes(self, networks: Networks, draws: Draws) -> Tensor:
        """Return samples whose layers, from one on that is drawn for each, follow a second latent."""
        first, second = (networks["mapping"](self.config.latent.draw(draws, name)) for name in ("z", "mixed z"))
        crossover = draws.integers("crossover", LAYERS + 1)
        styles = [torch.where((layer < crossover)[:, None], first, second) for layer in range(LAYERS)]
        return networks["synthesis"](styles)

    def _made(self, networks: Networks, request: Request) -> Tensor:
        first = networks["mapping"](request.latents)
        second = first if request.mixing is None else networks["mapping"](request.mixing)
        crossover = LAYERS if request.crossover is None else request.crossover
        styles = [first if layer < crossover else second for layer in range(LAYERS)]
        if request.truncation is not None:
            centre, cutoff = networks["mapping"].get_buffer("centre"), request.cutoff or LAYERS
            styles = [
                centre + request.truncation * (w - centre) if layer < cutoff else w for layer, w in enumerate(styles)
            ]
        return networks["synthesis"](styles)


class _Mapping(RunningStatistics):
    """latents [n, dim] -> w [n, channels]; `centre` follows the mean of w."""

    centre: Tensor

    def __init__(self, dim: int, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(dim, channels), nn.LeakyReLU(0.2), nn.Linear(channels, channels))
        self.register_buffer("centre", torch.zeros(channels))

    def running_statistics(self) -> tuple[str, ...]:
        return ("centre",)

    def forward(self, latents: Tensor) -> Tensor:
        w = self.layers(latents)
        if self.training:
            with torch.no_grad():
                self.centre.lerp_(w.detach().mean(0).to(self.centre.dtype), 0.01)
        return w


class _Synthesis(nn.Module):
    """w of each layer -> [n, *shape]"""

    def __init__(self, channels: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.shape = shape
        self.start = nn.Parameter(torch.randn(channels, 4, 4))
        self.styles = nn.ModuleList(nn.Linear(channels, 2 * channels) for _ in range(LAYERS))
        self.convolutions = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(LAYERS))
        self.strengths = nn.Parameter(torch.full((LAYERS,), 0.1))
        self.picture = nn.Conv2d(channels, shape[0], 1)

    def forward(self, ws: list[Tensor]) -> Tensor:
        x = self.start.expand(len(ws[0]), -1, -1, -1)
        for layer, (style, convolution) in enumerate(zip(self.styles, self.convolutions, strict=True)):
            x = nn.functional.interpolate(convolution(x), scale_factor=2)
            noise = drawn(f"noise {layer}", len(x), 1, *x.shape[2:], normal=True).to(x.dtype)
            x = nn.functional.group_norm(x, x.shape[1])  # per picture and channel, which the style then moves
            gain, shift = style(ws[layer])[:, :, None, None].chunk(2, 1)
            x = nn.functional.leaky_relu((1 + gain) * x + shift + self.strengths[layer] * noise, 0.2)
        x = nn.functional.interpolate(x, size=self.shape[1:])
        return torch.tanh(self.picture(x))
