"""What a GAN family is: its contract. `registry.py` finds one by name.

A family holds no weights and no state: it says which inputs it is fed, which networks it has, what each player does in
a training step, and how samples come of them.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from trainers.batch import Examples
from trainers.config import Ema, Execution, Latent, OptimizerConfig, Part
from trainers.growing import Growth
from trainers.phase import Networks, Phase
from trainers.randomness.source import DrawSource

REAL = "real"  # the name of the only input of a family that has one
Shape = tuple[int, int, int]  # channels, height, width


class UnsupportedShape(ValueError):
    """The family cannot make samples of the data's shape; the message names the shapes that it can."""


class LabelsNeeded(ValueError):
    """The family is conditional, and the data has no labels."""


@dataclass(frozen=True, kw_only=True)
class Input:
    """A named set of examples that a family is fed.

    Unpaired inputs have orders of their own: an epoch of each is its own permutation. A condition, such as a text's
    embedding, is an input paired with what it belongs to.
    """

    name: str
    paired_with: str | None = None  # the input whose order it shares: example i of both belong together


@dataclass(frozen=True, kw_only=True)
class ExampleShape:
    """What the examples of an input are like."""

    shape: Shape
    classes: int | None = None  # None: without labels


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a sampler is to make: one sample a row. What a sampler has no use for is None."""

    latents: Tensor | None = None  # [n, latent.dim]
    labels: Tensor | None = None  # [n] int64
    inputs: Tensor | None = None  # [n, *shape] in -1..1, of the input that the sampler starts from
    truncation: float | None = None  # for samplers that truncate by themselves; None: none
    cutoff: int | None = None  # layers, from the first, that truncation concerns; None: all
    mixing: Tensor | None = None  # [n, latent.dim]: second latents, for the layers from `crossover` on
    crossover: int | None = None
    draws: DrawSource  # for noise that networks draw, keyed by (seed, i)

    def to(self, dtype: torch.dtype) -> "Request":
        """Return it with all but labels in another precision."""

        def cast(value: Tensor | None) -> Tensor | None:
            return None if value is None else value.to(dtype)

        return replace(self, latents=cast(self.latents), inputs=cast(self.inputs), mixing=cast(self.mixing))


@dataclass(frozen=True, kw_only=True)
class SamplerSpec:
    """A named way to make samples: from latents, or from the examples of an input."""

    networks: tuple[str, ...]  # that it runs; their averages where there are any
    run: Callable[[Networks, Request], Tensor]  # -> [n, *shape] in -1..1
    start: str | None = None  # the input that it starts from; None: latents
    makes: str = REAL  # the input whose like it makes
    truncation: Literal["latents", "network"] = "latents"  # who truncates: the latents' law, or the networks themselves
    mixes: bool = False  # it takes second latents


@dataclass(frozen=True, kw_only=True)
class Role:
    """One generator and who judges it, for `monitoring.health`. Stats of several roles bear the role's name as a prefix."""

    generator: str  # name of the network
    generator_phase: str  # whose loss is the generator's
    discriminator: str | None = None  # name of the network that judges it
    discriminator_phase: str | None = None  # whose loss is the discriminator's
    sampler: str  # whose samples are looked at
    at_chance: float | None = None  # the discriminator's loss when it cannot tell; None: a loss without a floor


@dataclass(frozen=True, kw_only=True)
class Helper:
    """A pretrained network that a family needs: frozen, in no checkpoint and no optimizer, and found like a data set."""

    file: str  # name of the file, such as vgg16.safetensors
    sha256: str  # of the file
    build: Callable[[Path], nn.Module]  # the network of the file
    where: str  # how people get it


class FamilyConfig(Part):
    """A family's parameters: its architecture and its recipe, with the paper's values as defaults."""

    latent: Latent = Latent()
    ema: Ema = Ema()
    execution: Execution = Execution()
    balanced: bool = Field(default=False, description="real examples of every class equally often, however rare it is")

    @model_validator(mode="before")
    @classmethod
    def _over_the_familys_defaults(cls, given: Any) -> Any:
        """Let a part that is given in part keep the rest of the family's own defaults, not of the part's."""
        if not isinstance(given, dict):
            return given
        defaults = {name: field.default for name, field in cls.model_fields.items() if isinstance(field.default, Part)}
        return {
            name: _merged(defaults[name].model_dump(), value) if name in defaults else value
            for name, value in given.items()
        }


C = TypeVar("C", bound=FamilyConfig)


class Family(ABC, Generic[C]):
    """A kind of GAN at one configuration, for data of one shape."""

    summary: ClassVar[str]  # one line
    paper: ClassVar[str]  # where it is from
    resolutions: ClassVar[tuple[int, ...]]  # pixels, of square pictures
    conditional: ClassVar[bool] = False  # it uses labels where the data has them
    Config: ClassVar[type[FamilyConfig]]

    def __init__(self, config: C, *, examples: Mapping[str, ExampleShape]) -> None:
        """Raise UnsupportedShape or LabelsNeeded if this data will not do. examples: for each of `inputs`."""
        self.config, self.examples = config, examples
        self.shape = examples[self.inputs()[0].name].shape
        classes = examples[self.inputs()[0].name].classes
        self.classes = classes if self.conditional else None
        self.check_shape()

    @property
    def is_vector(self) -> bool:
        """Return whether samples are vectors, not pictures: the channels of a single pixel."""
        return self.shape[1:] == (1, 1)

    @classmethod
    def inputs(cls) -> tuple[Input, ...]:
        """Return the sets of examples that it is fed, the first of which gives the number of examples shown."""
        return (Input(name=REAL),)

    @classmethod
    @abstractmethod
    def tiny(cls) -> dict[str, Any]:
        """Return parameters of a configuration that trains in seconds, for 16x16 pictures."""

    @abstractmethod
    def networks(self) -> dict[str, nn.Module]:
        """Return all networks with fresh weights, drawn from torch's generator, which the engine has seeded."""

    @abstractmethod
    def phases(self) -> list[Phase]:
        """Return what the players do in one training step, in order."""

    @abstractmethod
    def optimizers(self) -> Mapping[str, OptimizerConfig]:
        """Return how each optimizer that the phases name is made."""

    @abstractmethod
    def samplers(self) -> Mapping[str, SamplerSpec]:
        """Return the ways to make samples, by name; the first is what is meant where none is named."""

    @abstractmethod
    def roles(self) -> tuple[Role, ...]:
        """Return which network is a generator, and which one judges it."""

    def averages(self) -> tuple[str, ...]:
        """Return the networks whose weights are averaged: those of the samplers, as a rule."""
        return tuple(dict.fromkeys(name for spec in self.samplers().values() for name in spec.networks))

    def helpers(self) -> Mapping[str, Helper]:
        """Return the pretrained networks that it needs, by the name that its losses call them by."""
        return {}

    def judge(self, discriminator: nn.Module, examples: Examples) -> Any:
        """Return what a discriminator of `roles` says of some examples."""
        return discriminator(examples.samples)

    @property
    def growth(self) -> Growth | None:
        """Return how samples grow during the training; None: they are of one size throughout."""
        return None

    def check_shape(self) -> None:
        """Raise UnsupportedShape if samples cannot have the data's shape."""
        _, height, width = self.shape
        if height != width or height not in self.resolutions:
            sizes = ", ".join(f"{n}x{n}" for n in self.resolutions)
            raise UnsupportedShape(f"{type(self).__name__} makes pictures of {sizes}, not {height}x{width}")


def _merged(default: Any, given: Any) -> Any:
    if not (isinstance(default, dict) and isinstance(given, dict)):
        return given
    return default | {name: _merged(default.get(name), value) for name, value in given.items()}
