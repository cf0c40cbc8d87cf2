"""StyleGAN2: Karras et al., 1912.04958 (config F), with the configurations of 2006.06676.

A mapping network of eight dense layers (their rate a hundredth of the others') makes w from z; w scales the weights of
each convolution of a generator that sums pictures of all sizes; noise enters after each convolution, keyed by (seed, i) in
sampling. A residual discriminator with minibatch deviation. Logistic loss, R1 every 16th step, the path length in w every
4th on half of each group, mixing of two latents for nine of ten samples, Adam 0.0025 (0, 0.99). Samples are truncated
towards the running mean of w (`sampling.truncation` is ψ), down to a cut-off. With labels: an embedding beside z, and the
discriminator's projection on its own.

Departures: the crossover of mixed latents is drawn for each sample, not once for a batch; runs of the minibatch deviation
are of consecutive samples; no clamp of features, since bfloat16 has float32's range.
"""

from math import log2, sqrt
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from trainers.batch import Examples
from trainers.config import Ema, Latent
from trainers.gan.family import FamilyConfig, Request, SamplerSpec, Shape
from trainers.gan.two_player import (
    GENERATOR,
    SAMPLES,
    Conditional,
    Discriminator,
    Generator,
    TwoPlayer,
    TwoPlayerConfig,
    params,
    refuse_norms,
)
from trainers.layers.equalised import EqualisedConv, EqualisedLinear, activated, normalised
from trainers.layers.fir import doubled, halved, smoothed
from trainers.layers.grouped import RunningStatistics
from trainers.layers.head import Conditioning, DiscriminatorOutput
from trainers.layers.minibatch import MinibatchStddev
from trainers.layers.modes import InFullPrecision
from trainers.layers.modulated import StyledConv, ToPicture
from trainers.objectives.losses import LossName
from trainers.objectives.penalties import Penalties
from trainers.objectives.penalties.path_length import PathLength
from trainers.objectives.penalties.r1 import R1
from trainers.phase import Networks
from trainers.randomness.source import drawn

BOTTOM = 4  # pixels of the smallest feature maps
RATES: dict[str, Any] = {"lr": 0.0025, "betas": (0.0, 0.99), "norm": "none"}
PAPER_PENALTIES = {"r1": {"weight": 10, "every": 16}, "path_length": {"weight": 2, "every": 4, "share": 0.5}}
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "custom": {},
    "cifar": {
        "channel_base": 16384, "mapping_layers": 2, "architecture": "plain", "mixing": 0.0, "deviation_run": 32,
        "penalties": {"r1": {"weight": 0.01, "every": 16}, "path_length": None},
        "ema": {"half_life": 500_000, "ramp": 0.05},
    },
    "paper256": {"channel_base": 16384, "penalties": PAPER_PENALTIES | {"r1": {"weight": 1, "every": 16}}},
    "paper1024": {"channel_base": 32768, "penalties": PAPER_PENALTIES},
}  # fmt: skip


class Config(TwoPlayerConfig, Conditional):
    """StyleGAN2's parameters."""

    configuration: Literal["custom", "cifar", "paper256", "paper1024"] = Field(
        default="custom", description="values that stand in for what is left out: those of 2006.06676, by name"
    )
    latent: Latent = Latent(dim=512)
    w_dim: int = Field(default=512, ge=1, description="numbers of w")
    mapping_layers: int = Field(default=8, ge=1, le=16, description="dense layers from z to w")
    channel_base: int = Field(default=16384, ge=64, description="channels times pixels of a side of a feature map …")
    channel_max: int = Field(default=512, ge=1, description="… of so many channels at most")
    architecture: Literal["residual", "plain"] = Field(default="residual", description="of the discriminator")
    deviation_run: int = Field(default=4, ge=1, description="samples of a run of the minibatch deviation")
    mixing: float = Field(default=0.9, ge=0, le=1, description="share of samples made of two latents in training")
    ema: Ema = Ema(half_life=10_000, ramp=0.05)
    loss: LossName = Field(default="logistic", description="the adversarial loss")
    penalties: Penalties = Penalties(r1=R1(weight=1.0, every=16), path_length=PathLength())
    conditioning: Conditioning = Field(default="none", description="none ignores labels; projection uses them")
    generator: Generator = Generator(**RATES)
    discriminator: Discriminator = Discriminator(minibatch="stddev", **RATES)

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return CONFIGURATIONS.get(str(given.get("configuration", "custom")), {}) | given

    @model_validator(mode="after")
    def _has_its_own_layers(self) -> "Config":
        refuse_norms(self, "StyleGAN2's networks normalise weights by their style")
        if self.conditioning not in ("none", "projection"):
            raise ValueError(f"conditioning is {self.conditioning!r}; StyleGAN2 knows none and projection")
        return self

    def channels(self, size: int) -> int:
        """Return those of feature maps of so many pixels a side."""
        return min(self.channel_max, max(1, self.channel_base // size))


class StyleGAN2(TwoPlayer[Config]):
    summary = (
        "styles from a mapping network, modulated convolutions, path length: the sharpest plain GAN to 1024 pixels"
    )
    paper = "https://arxiv.org/abs/1912.04958"
    resolutions = (16, 32, 64, 128, 256, 512, 1024)
    conditional = True
    Config: ClassVar[type[FamilyConfig]] = Config

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        small = {"channel_base": 128, "channel_max": 8, "w_dim": 16, "mapping_layers": 2}
        penalties = {"r1": {"weight": 0.1, "every": 4}, "path_length": {"weight": 0.5, "every": 4}}
        return params(**small, penalties=penalties, generator={"lr": 0.005}, discriminator={"lr": 0.005})

    def generator_network(self) -> nn.Module:
        return _Generator(self.config, self.shape, self.classes)

    def discriminator_network(self, shape: Shape) -> nn.Module:
        return _Discriminator(self.config, shape, self.classes)

    def samplers(self) -> dict[str, SamplerSpec]:
        return {SAMPLES: SamplerSpec(networks=(GENERATOR,), run=self._sampled, truncation="network", mixes=True)}

    def fakes(self, generator: nn.Module, reals: Examples, latents: Tensor) -> Examples:
        """Return fakes of the reals' classes, some of which follow second latents from a layer on."""
        labels = reals.labels if self.classes else None
        return Examples(samples=generator.made(self._mixed(generator, latents, labels)), labels=labels)  # type: ignore[operator]

    def path_start(self, generator: nn.Module, reals: Examples, latents: Tensor) -> Tensor:
        return self._mixed(generator, latents, reals.labels if self.classes else None)

    def path_end(self, generator: nn.Module, reals: Examples, start: Tensor) -> Tensor:
        return generator.made(start)  # type: ignore[operator]

    def _mixed(self, generator: nn.Module, latents: Tensor, labels: Tensor | None) -> Tensor:
        """Return w of each layer: [n, layers, w_dim]."""
        assert isinstance(generator, _Generator)
        first = generator.mapping(latents, labels)
        ws = first[:, None].expand(-1, generator.layers, -1)
        if not self.config.mixing or not generator.training:
            return ws
        second = generator.mapping(drawn("mixed z", len(latents), latents.shape[1], normal=True).to(latents), labels)
        happens, place = drawn("crossover", len(latents), 2).unbind(1)
        crossover = torch.where(
            happens < self.config.mixing, 1 + (place * (generator.layers - 1)).long(), generator.layers
        )
        behind = torch.arange(generator.layers, device=ws.device) >= crossover[:, None]
        return torch.where(behind[:, :, None], second[:, None], ws)

    def _sampled(self, networks: Networks, request: Request) -> Tensor:
        generator = networks[GENERATOR]
        assert isinstance(generator, _Generator)
        assert request.latents is not None
        first = generator.mapping(request.latents, request.labels)
        ws = first[:, None].expand(-1, generator.layers, -1)
        if request.mixing is not None:
            second = generator.mapping(request.mixing, request.labels)
            behind = torch.arange(generator.layers, device=ws.device) >= (request.crossover or 0)
            ws = torch.where(behind[:, None], second[:, None], ws)
        return generator.made(generator.mapping.truncated(ws, request.truncation, request.cutoff))


class _Mapping(RunningStatistics):
    """latents [n, dim], labels -> w [n, w_dim]; `centre` follows the mean of w."""

    centre: Tensor

    def __init__(self, config: Config, classes: int | None) -> None:
        super().__init__()
        self.embedding = EqualisedLinear(classes, config.latent.dim) if classes else None
        self.classes = classes or 0
        before = config.latent.dim * (2 if classes else 1)
        layers = []
        for _ in range(config.mapping_layers):
            layers.append(EqualisedLinear(before, config.w_dim, rate=0.01))
            before = config.w_dim
        self.layers = nn.ModuleList(layers)
        self.register_buffer("centre", torch.zeros(config.w_dim))

    def running_statistics(self) -> tuple[str, ...]:
        return ("centre",)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        x = normalised(latents)
        if self.embedding is not None:
            assert labels is not None
            told = nn.functional.one_hot(labels, self.classes).to(x.dtype)
            x = torch.cat([x, normalised(self.embedding(told))], 1)
        for layer in self.layers:
            x = activated(layer(x))
        if self.training:
            with torch.no_grad():
                self.centre.lerp_(x.detach().mean(0).to(self.centre.dtype), 0.005)
        return x

    def truncated(self, ws: Tensor, psi: float | None, cutoff: int | None) -> Tensor:
        """Return ws [n, layers, w_dim] pulled towards the mean. psi: 1 or None leaves them; cutoff: layers, None: all."""
        if psi is None or psi == 1:
            return ws
        layers = ws.shape[1] if cutoff is None else cutoff
        pulled = self.centre + psi * (ws - self.centre)
        return torch.where((torch.arange(ws.shape[1], device=ws.device) < layers)[:, None], pulled, ws)


class _Generator(nn.Module):
    """latents [n, dim], labels -> [n, *shape]; in two steps: `mapping`, then `made`."""

    def __init__(self, config: Config, shape: Shape, classes: int | None) -> None:
        super().__init__()
        sizes = _sizes(shape[1])
        self.mapping = _Mapping(config, classes)
        self.begin = nn.Parameter(torch.randn(config.channels(BOTTOM), BOTTOM, BOTTOM))
        self.convolutions, self.pictures = nn.ModuleList(), nn.ModuleList()
        before = config.channels(BOTTOM)
        for size in sizes:
            width = config.channels(size)
            if size > BOTTOM:
                self.convolutions.append(StyledConv(before, width, config.w_dim, f"noise {size} a", double=True))
            self.convolutions.append(StyledConv(width, width, config.w_dim, f"noise {size} b"))
            self.pictures.append(ToPicture(width, shape[0], config.w_dim))
            before = width
        self.layers = len(self.convolutions) + 1  # that w styles, the last picture's own included

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.made(self.mapping(latents, labels)[:, None].expand(-1, self.layers, -1))

    def made(self, ws: Tensor) -> Tensor:
        """Return [n, *shape] of w for each layer, [n, layers, w_dim]."""
        x = self.begin.expand(len(ws), -1, -1, -1)
        x = self.convolutions[0](x, ws[:, 0])
        picture = self.pictures[0](x, ws[:, 1])
        for level, to_picture in enumerate(self.pictures[1:]):
            layer = 1 + 2 * level
            for step in range(2):
                x = self.convolutions[layer + step](x, ws[:, layer + step])
            picture = doubled(picture) + to_picture(x, ws[:, layer + 2])
        return picture


class _Discriminator(nn.Module):
    """samples [n, *shape], labels -> DiscriminatorOutput"""

    def __init__(self, config: Config, shape: Shape, classes: int | None) -> None:
        super().__init__()
        sizes = _sizes(shape[1])[:0:-1]
        self.picture = EqualisedConv(shape[0], config.channels(shape[1]), 1)
        block = _ResidualDown if config.architecture == "residual" else _Down
        self.blocks = nn.ModuleList(block(config.channels(size), config.channels(size // 2)) for size in sizes)
        self.end = _End(config, classes)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> DiscriminatorOutput:
        x = activated(self.picture(samples))
        for block in self.blocks:
            x = block(x)
        return self.end(x, labels)


class _Down(nn.Module):
    """[n, before, h, w] -> [n, width, h / 2, w / 2]"""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.first = EqualisedConv(before, before, 3)
        self.second = EqualisedConv(before, width, 3, stride=2)

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        x = activated(self.first(x))
        return activated(self.second(smoothed(x, (2, 2))), sqrt(2) * gain)


class _ResidualDown(_Down):
    """The same, plus its input, both scaled to keep the variance."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__(before, width)
        self.shortcut = EqualisedConv(before, width, 1, bias=False)

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        return super().forward(x, sqrt(0.5)) + sqrt(0.5) * self.shortcut(halved(x))


class _End(nn.Module):
    """Feature maps of 4x4, labels -> DiscriminatorOutput, in full precision also under autocast."""

    def __init__(self, config: Config, classes: int | None) -> None:
        super().__init__()
        channels, out = config.channels(BOTTOM), config.w_dim if classes else 1
        stddev = config.discriminator.minibatch == "stddev"
        compare = [MinibatchStddev(config.deviation_run)] if stddev else []
        self.body = InFullPrecision(*compare, EqualisedConv(channels + len(compare), channels, 3), _Activated(),
                                    nn.Flatten(), EqualisedLinear(channels * BOTTOM**2, channels), _Activated())  # fmt: skip
        self.out = InFullPrecision(EqualisedLinear(channels, out))
        self.classes = classes or 0
        self.embedding = _LabelMapping(classes, config) if classes else None

    def forward(self, x: Tensor, labels: Tensor | None) -> DiscriminatorOutput:
        features = self.body(x)
        told = self.out(features)
        if self.embedding is None:
            return DiscriminatorOutput(logits=told[:, 0], features=features)
        assert labels is not None
        wanted = self.embedding(nn.functional.one_hot(labels, self.classes).to(told.dtype))
        return DiscriminatorOutput(logits=(told * wanted).sum(1) / sqrt(told.shape[1]), features=features)


class _LabelMapping(InFullPrecision):
    """Labels [n, classes], one of them 1 -> [n, w_dim]: what the discriminator's output is projected on."""

    def __init__(self, classes: int, config: Config) -> None:
        layers: list[nn.Module] = [EqualisedLinear(classes, config.w_dim), _Normalised()]
        for _ in range(config.mapping_layers):
            layers += [EqualisedLinear(config.w_dim, config.w_dim, rate=0.01), _Activated()]
        super().__init__(*layers)


class _Activated(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return activated(x)


class _Normalised(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return normalised(x)


def _sizes(resolution: int) -> tuple[int, ...]:
    return tuple(2**level for level in range(2, int(log2(resolution)) + 1))
