"""What a GAN family is, and how one is found by name.

A built-in family is a file in trainers/families/, and the file's name is its name; others come from the entry-point
group `ganworks.families`, or as `module:Class` from a user's own code.
"""

import difflib
import importlib
import inspect
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import Field, model_validator
from torch import Tensor, nn

from trainers import families
from trainers.config import Ema, Execution, Latent, Part, Player
from trainers.growing import Growth
from trainers.phase import Phase

ENTRY_POINTS = "ganworks.families"


class UnknownFamily(ValueError):
    """No family has this name; the message names those that exist."""

    def __init__(self, name: str, reason: str = "") -> None:
        close = difflib.get_close_matches(name, names(), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        super().__init__(f"no family {name!r}{reason and f' ({reason})'}; there are {', '.join(names())}{hint}")


class UnsupportedShape(ValueError):
    """The family cannot make samples of the data's shape; the message names the shapes that it can."""


class LabelsNeeded(ValueError):
    """The family is conditional, and the data has no labels."""


class FamilyConfig(Part):
    """A family's parameters: its architecture and its recipe, with the paper's values as defaults."""

    latent: Latent = Latent()
    ema: Ema = Ema()
    execution: Execution = Execution()
    balanced: bool = Field(default=False, description="real examples of every class equally often, however rare it is")

    @model_validator(mode="before")
    @classmethod
    def _over_the_familys_defaults(cls, given: Any) -> Any:
        """A part that is given in part keeps the rest of the family's own defaults, not of the part's."""
        if not isinstance(given, dict):
            return given
        defaults = {name: field.default for name, field in cls.model_fields.items() if isinstance(field.default, Part)}
        return {
            name: _merged(defaults[name].model_dump(), value) if name in defaults else value
            for name, value in given.items()
        }


C = TypeVar("C", bound=FamilyConfig)


class Family(ABC, Generic[C]):
    """A kind of GAN at one configuration, for data of one shape. It holds no weights and no state."""

    summary: ClassVar[str]  # one line
    paper: ClassVar[str]  # where it is from
    resolutions: ClassVar[tuple[int, ...]]  # pixels, of square pictures
    conditional: ClassVar[bool] = False  # it uses labels where the data has them
    Config: ClassVar[type[FamilyConfig]]
    averaged: ClassVar[str] = "generator"  # the network that is averaged, and that samples are drawn from

    def __init__(self, config: C, *, shape: tuple[int, int, int], classes: int | None) -> None:
        """shape: channels, height, width; UnsupportedShape."""
        self.config, self.shape = config, shape
        self.classes = classes if self.conditional else None
        self.check_shape()

    @property
    def is_vector(self) -> bool:
        """Samples are vectors, not pictures: the channels of a single pixel."""
        return self.shape[1:] == (1, 1)

    @classmethod
    @abstractmethod
    def tiny(cls) -> dict[str, Any]:
        """Parameters of a configuration that trains in seconds, for 16x16 pictures."""

    @abstractmethod
    def networks(self) -> dict[str, nn.Module]:
        """All networks with fresh weights, drawn from torch's generator, which the engine has seeded."""

    @abstractmethod
    def phases(self) -> list[Phase]:
        """The turns of one training step, in order."""

    @abstractmethod
    def players(self) -> Mapping[str, Player]:
        """How each optimizer that the phases name is made."""

    @abstractmethod
    def generate(self, network: nn.Module, latents: Tensor, labels: Tensor | None) -> Tensor:
        """latents [n, latent.dim], labels [n] -> samples [n, *shape] in -1..1."""

    @property
    def growth(self) -> Growth | None:
        """How samples grow during the training; None: they are of one size throughout."""
        return None

    def check_shape(self) -> None:
        _, height, width = self.shape
        if height != width or height not in self.resolutions:
            sizes = ", ".join(f"{n}x{n}" for n in self.resolutions)
            raise UnsupportedShape(f"{type(self).__name__} makes pictures of {sizes}, not {height}x{width}")


def _merged(default: Any, given: Any) -> Any:
    if not (isinstance(default, dict) and isinstance(given, dict)):
        return given
    return default | {name: _merged(default.get(name), value) for name, value in given.items()}


def names() -> list[str]:
    """Of all families that are installed."""
    return sorted({*built_in(), *(point.name for point in entry_points(group=ENTRY_POINTS))})


def get(name: str) -> type[Family]:
    """The family of this name, or `module:Class`; UnknownFamily."""
    if ":" in name:
        return _from_module(name)
    if name in built_in():
        return _only_family(importlib.import_module(f"{families.__name__}.{name}"))
    for point in entry_points(group=ENTRY_POINTS, name=name):
        return _checked(point.load(), name)
    raise UnknownFamily(name)


def build(
    family: str | type[Family], params: Mapping[str, Any], *, shape: tuple[int, int, int], classes: int | None
) -> Family:
    """A family at the given parameters; pydantic's ValidationError (a ValueError) names what is wrong in them."""
    kind = get(family) if isinstance(family, str) else family
    return kind(kind.Config.model_validate(params), shape=shape, classes=classes)


def built_in() -> list[str]:
    """Names of the files in trainers/families."""
    return [module.name for module in pkgutil.iter_modules(families.__path__)]


def _only_family(module: Any) -> type[Family]:
    found: list[type[Family]] = [c for c in vars(module).values() if _is_family(c, module.__name__)]
    assert len(found) == 1, f"{module.__name__} must hold one family, not {found}"
    return found[0]


def _is_family(member: Any, module: str) -> bool:
    return inspect.isclass(member) and issubclass(member, Family) and member.__module__ == module


def _from_module(name: str) -> type[Family]:
    module, _, attribute = name.partition(":")
    try:
        return _checked(getattr(importlib.import_module(module), attribute), name)
    except (ImportError, AttributeError) as error:
        raise UnknownFamily(name, str(error)) from error


def _checked(found: Any, name: str) -> type[Family]:
    if not (inspect.isclass(found) and issubclass(found, Family)):
        raise UnknownFamily(name, "it is no subclass of trainers.gan.family.Family")
    return found
