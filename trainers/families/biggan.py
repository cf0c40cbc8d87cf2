"""BigGAN: Brock et al., 1809.11096, with the widths of its appendix B.

Residual networks with spectral norm in both, attention at 64 pixels; a class embedding that all levels share, joined to each
level's own part of z, gives the gains and shifts of batch norm, whose statistics are those of the whole batch of all workers;
projection in the discriminator; hinge loss; orthogonal weights at the start, the off-diagonal orthogonal penalty of 1e-4 on
the generator without its shared embedding; Adam 5e-5 and 2e-4 (0, 0.999) with an ε of 1e-6, two discriminator steps; an average
of a decay of 0.9999 at the paper's batch of 2048 from the 20,000th step. Truncation cuts the normal of z: drawing again
what falls outside has the same law. It needs labels.

Departures: samples take batch norm's running statistics, not standing ones of 16 passes; no deep variant yet.
"""

from collections.abc import Mapping
from math import log2
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from trainers.config import Ema, Latent
from trainers.gan.family import ExampleShape, FamilyConfig, Shape, UnsupportedShape
from trainers.gan.two_player import Conditional, Discriminator, Generator, TwoPlayer, TwoPlayerConfig, params
from trainers.layers.attention import SelfAttention
from trainers.layers.full_batch_norm import FullBatchNorm2d
from trainers.layers.head import Conditioning, DiscriminatorOutput, Head
from trainers.layers.norms import with_spectral_norm
from trainers.layers.residual import DownBlock
from trainers.objectives.losses import LossName
from trainers.objectives.penalties import Penalties
from trainers.objectives.penalties.orthogonal import Orthogonal, exempt

BOTTOM, EPS = 4, 1e-6
# Multiples of the base channels after each of the generator's blocks, and of the discriminator's, by pixels.
WIDTHS: dict[int, tuple[int, tuple[int, ...], tuple[int, ...]]] = {
    16: (4, (4, 4), (4, 4, 4)),
    32: (4, (4, 4, 4), (4, 4, 4, 4)),
    64: (16, (16, 8, 4, 2), (1, 2, 4, 8, 16)),
    128: (16, (16, 8, 4, 2, 1), (1, 2, 4, 8, 16, 16)),
    256: (16, (16, 8, 8, 4, 2, 1), (1, 2, 4, 8, 8, 16, 16)),
}
PLAYER: dict[str, Any] = {"betas": (0.0, 0.999), "eps": EPS}


class Config(TwoPlayerConfig, Conditional):
    """BigGAN's parameters."""

    latent: Latent = Latent(dim=120)
    base_channels: int = Field(default=96, ge=1, description="multiplied by each level's width")
    shared_dim: int = Field(default=128, ge=1, description="numbers of the class embedding that all levels share")
    attention: int | None = Field(
        default=64, ge=1, description="pixels of the feature maps that get self-attention; null: none"
    )
    ema: Ema = Ema(half_life=14e6, ramp=None, start=20_000)
    loss: LossName = Field(default="hinge", description="the adversarial loss")
    penalties: Penalties = Penalties(orthogonal=Orthogonal())
    conditioning: Conditioning = Field(default="projection", description="BigGAN knows projection alone")
    generator: Generator = Generator(lr=5e-5, **PLAYER)
    discriminator: Discriminator = Discriminator(lr=2e-4, steps=2, norm="spectral", **PLAYER)

    @model_validator(mode="after")
    def _is_big(self) -> "Config":
        if self.conditioning != "projection":
            raise ValueError(f"conditioning is {self.conditioning!r}; BigGAN is conditional by projection")
        if (norms := (self.generator.norm, self.discriminator.norm)) != ("batch", "spectral"):
            raise ValueError(f"norms are {norms[0]!r} and {norms[1]!r}; BigGAN's are 'batch' and 'spectral'")
        if self.execution.gradient_accumulation > 1:
            raise ValueError(
                f"execution.gradient_accumulation is {self.execution.gradient_accumulation}, and BigGAN's batch norm needs "
                "the whole batch at once"
            )
        return self


class BigGAN(TwoPlayer[Config]):
    summary = "class-conditional at scale: shared embedding, split latents, whole-batch statistics, truncation"
    paper = "https://arxiv.org/abs/1809.11096"
    resolutions = tuple(WIDTHS)
    conditional = True
    needs_labels = True
    least_pixels = min(WIDTHS)
    Config: ClassVar[type[FamilyConfig]] = Config

    def __init__(self, config: Any, *, examples: Mapping[str, ExampleShape]) -> None:
        side = next(iter(examples.values())).shape[1]
        if config.attention is not None and side < 128 and "attention" not in config.model_fields_set:
            config = config.model_copy(update={"attention": None if side < 32 else side // 2})
        super().__init__(config, examples=examples)
        if config.latent.dim < self.levels:
            raise UnsupportedShape(
                f"latent.dim is {config.latent.dim}; each of {self.levels} levels needs one at least"
            )

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        rates: dict[str, Any] = {"generator": {"lr": 2e-3}, "discriminator": {"lr": 2e-3, "steps": 1}}
        return params(base_channels=4, shared_dim=8, **rates) | {"ema": {"half_life": 100, "ramp": 0.05, "start": 0}}

    @property
    def levels(self) -> int:
        """Count the parts of z: one for the first feature map, and one for each block."""
        return len(WIDTHS[self.shape[1]][1]) + 1

    def generator_network(self) -> nn.Module:
        assert self.classes is not None
        network = _Generator(self.config, self.shape, self.classes, self.levels)
        network.apply(_orthogonal)
        exempt(network.shared)
        for module in network.children():
            if module is not network.shared:
                with_spectral_norm(module, EPS)
        return network

    def discriminator_network(self, shape: Shape) -> nn.Module:
        network = _Discriminator(self.config, shape, self.classes)
        return network.apply(_orthogonal)

    def feature_maps(self) -> tuple[int, ...]:
        return tuple(2**level for level in range(3, int(log2(self.shape[1]))))


class _Generator(nn.Module):
    """latents [n, dim], labels [n] -> [n, *shape] in -1..1"""

    def __init__(self, config: Config, shape: Shape, classes: int, levels: int) -> None:
        super().__init__()
        first, widths, _ = WIDTHS[shape[1]]
        base, self.part = config.base_channels, config.latent.dim // levels
        self.shared = nn.Embedding(classes, config.shared_dim)
        self.begin = nn.Linear(self.part, first * base * BOTTOM**2)
        self.blocks, self.attentions = nn.ModuleList(), nn.ModuleDict()
        before, size = first * base, BOTTOM
        for number, multiple in enumerate(widths):
            width, size = multiple * base, 2 * size
            self.blocks.append(_UpBlock(before, width, self.part + config.shared_dim))
            if size == config.attention:
                self.attentions[str(number)] = SelfAttention(width, bias=False)
            before = width
        self.norm = _Affine(FullBatchNorm2d(before), before)
        self.picture = nn.Conv2d(before, shape[0], 3, padding=1)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        parts, told = latents.split(self.part, 1), self.shared(labels)
        x = self.begin(parts[0]).unflatten(1, (-1, BOTTOM, BOTTOM))
        for number, block in enumerate(self.blocks):
            x = block(x, torch.cat([parts[number + 1], told], 1))
            if str(number) in self.attentions:
                x = self.attentions[str(number)](x)
        return torch.tanh(self.picture(F.relu(self.norm(x))))


class _Affine(nn.Module):
    """A norm, then a gain and a shift of its own for each channel."""

    def __init__(self, norm: nn.Module, channels: int) -> None:
        super().__init__()
        self.norm = norm
        self.gain, self.shift = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x) * self.gain[:, None, None] + self.shift[:, None, None]


class _ConditionalNorm(nn.Module):
    """features, condition [n, d] -> features: gains (around 1) and shifts are linear in the condition."""

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.norm = FullBatchNorm2d(channels)
        self.gain, self.shift = (nn.Linear(condition, channels, bias=False) for _ in range(2))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return self.norm(x) * (1 + self.gain(condition))[:, :, None, None] + self.shift(condition)[:, :, None, None]


class _UpBlock(nn.Module):
    """norm, ReLU, twice the pixels, convolution; again without; plus the input."""

    def __init__(self, before: int, width: int, condition: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([_ConditionalNorm(before, condition), _ConditionalNorm(width, condition)])
        # Batch norm takes the first one's bias away again; its gradient would be rounding, which Adam scales up.
        self.first = nn.Conv2d(before, width, 3, padding=1, bias=False)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.shortcut = nn.Conv2d(before, width, 1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        y = self.first(F.interpolate(F.relu(self.norms[0](x, condition)), scale_factor=2))
        y = self.second(F.relu(self.norms[1](y, condition)))
        return y + self.shortcut(F.interpolate(x, scale_factor=2))


class _Discriminator(nn.Module):
    """samples [n, *shape], labels [n] -> DiscriminatorOutput"""

    def __init__(self, config: Config, shape: Shape, classes: int | None) -> None:
        super().__init__()
        _, _, widths = WIDTHS[shape[1]]
        layers: list[nn.Module] = []
        before, size = shape[0], shape[1]
        # Down to 4 pixels, or to 8 where pictures are small; the blocks after that keep the size.
        least = 2 * BOTTOM if shape[1] <= 32 else BOTTOM
        for number, multiple in enumerate(widths):
            width, halve = multiple * config.base_channels, size > least
            size = size // 2 if halve else size
            layers.append(DownBlock(before, width, "none", halve=halve, first=number == 0))
            if size == config.attention:
                layers.append(SelfAttention(width, bias=False))
            before = width
        self.body = nn.Sequential(*layers, nn.ReLU())
        self.head = Head(before, classes, "projection", minibatch=config.discriminator.minibatch)

    def forward(self, samples: Tensor, labels: Tensor) -> DiscriminatorOutput:
        return self.head(self.body(samples).sum((2, 3)), labels)


@torch.no_grad()
def _orthogonal(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
        nn.init.orthogonal_(module.weight)
    if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
        module.bias.zero_()
