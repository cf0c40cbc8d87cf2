"""The first GAN: Goodfellow et al., 1406.2661. Dense networks, on pictures of any size and on vectors.

A generator of rectified linear units, a discriminator of maxout units, uniform latents, and the loss that does not
saturate, as the paper trained it. Departures: Adam in place of SGD with a momentum schedule, tanh at the generator's end
for pictures in -1..1, no dropout. On vectors its end is linear.
"""

from math import prod
from typing import Any, ClassVar, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from trainers.config import Latent
from trainers.gan.family import FamilyConfig, Shape
from trainers.gan.two_player import Conditional, Discriminator, Generator, TwoPlayer, TwoPlayerConfig, params
from trainers.layers.head import Conditioning, DiscriminatorOutput, Head
from trainers.layers.norms import NormName, norm_layer
from trainers.layers.stack import JoinedLabels


class Config(TwoPlayerConfig, Conditional):
    """The first GAN's parameters."""

    latent: Latent = Latent(distribution="uniform")
    generator_widths: tuple[int, ...] = Field(default=(1200, 1200), min_length=1, description="units of hidden layers")
    discriminator_widths: tuple[int, ...] = Field(
        default=(240, 240), min_length=1, description="maxout units of layers"
    )
    pieces: int = Field(default=5, ge=1, description="linear pieces of a maxout unit; 1 makes it a leaky ReLU")
    generator: Generator = Generator(norm="none")
    discriminator: Discriminator = Discriminator(norm="none")

    @model_validator(mode="after")
    def _without_feature_maps(self) -> "Config":
        if self.discriminator.minibatch == "stddev":
            raise ValueError("discriminator.minibatch 'stddev' is a feature map, and dense networks have none")
        for name in ("generator", "discriminator"):
            if getattr(self, name).norm == "instance":
                raise ValueError(
                    f"{name}.norm 'instance' is of a feature map's pixels, and dense networks have none: nothing would be left; "
                    "set it to 'batch', 'layer', 'pixel', 'spectral' or 'none'"
                )
        if self.growing:
            raise ValueError(
                f"growing.start is {self.growing.start}, and dense networks have no feature maps that could grow; "
                "leave growing out, or take dcgan, cgan, wgan, wgan_gp, sngan or r3gan"
            )
        return self


class GAN(TwoPlayer[Config]):
    summary = "the first GAN: dense networks, for small pictures of any size and for vectors"
    paper = "https://arxiv.org/abs/1406.2661"
    resolutions = (1, 16, 28, 32, 64)
    conditional = True
    least_pixels = 1
    Config: ClassVar[type[FamilyConfig]] = Config

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        sizes = {"generator_widths": [64, 64], "discriminator_widths": [32, 32], "pieces": 2}
        return params(**sizes, generator={"lr": 1e-3}, discriminator={"lr": 1e-3})

    def generator_network(self) -> nn.Module:
        config = self.config
        joined = self.classes or 0
        return _Generator(config.latent.dim, config.generator_widths, self.shape, config.generator.norm, joined)

    def discriminator_network(self, shape: Shape) -> nn.Module:
        return _Discriminator(self.config, shape, self.classes, self.conditioning)

    def check_shape(self) -> None:
        """Accept any."""


class _Generator(nn.Module):
    """latents [n, dim], labels -> [n, *shape]"""

    def __init__(self, latent: int, widths: tuple[int, ...], shape: Shape, norm: NormName, classes: int) -> None:
        super().__init__()
        self.join = JoinedLabels(classes) if classes else None
        self.shape = shape
        layers: list[nn.Module] = []
        before = latent + classes
        for width in widths:
            layers += [nn.Linear(before, width), _Flat(norm_layer(norm, width)), nn.ReLU(inplace=True)]
            before = width
        end: nn.Module = nn.Identity() if shape[1:] == (1, 1) else nn.Tanh()
        self.layers = nn.Sequential(*layers, nn.Linear(before, prod(shape)), end)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        joined = latents if self.join is None else self.join(latents, labels)
        return self.layers(joined).unflatten(1, self.shape)


class _Discriminator(nn.Module):
    """samples [n, *shape], labels -> DiscriminatorOutput"""

    def __init__(self, config: Config, shape: Shape, classes: int | None, conditioning: Conditioning) -> None:
        super().__init__()
        self.join = JoinedLabels(cast(int, classes)) if conditioning == "concat" else None
        before = prod(shape) + (classes or 0 if self.join else 0)
        layers: list[nn.Module] = []
        for width in config.discriminator_widths:
            layers += [_Maxout(before, width, config.pieces), _Flat(norm_layer(config.discriminator.norm, width))]
            before = width
        self.body = nn.Sequential(*layers)
        self.head = Head(before, classes, conditioning, minibatch=config.discriminator.minibatch)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> DiscriminatorOutput:
        flat = samples.flatten(1)
        return self.head(self.body(flat if self.join is None else self.join(flat, labels)), labels)


class _Maxout(nn.Module):
    """The largest of several linear pieces (Goodfellow et al., 1302.4389)."""

    def __init__(self, before: int, width: int, pieces: int) -> None:
        super().__init__()
        self.pieces, self.linear = pieces, nn.Linear(before, width * pieces)

    def forward(self, x: Tensor) -> Tensor:
        if self.pieces == 1:
            return torch.nn.functional.leaky_relu(self.linear(x), 0.2)
        return self.linear(x).unflatten(1, (-1, self.pieces)).amax(2)


class _Flat(nn.Module):
    """A norm of feature maps, on vectors."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x[:, :, None, None]).flatten(1)
