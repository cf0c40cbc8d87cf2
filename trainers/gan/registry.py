"""Families by name: a file in trainers/families/, whose name is the family's; an entry point of the group
`ganworks.families`; or `module:Class` from a user's own code."""

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from trainers import families
from trainers.gan.family import ExampleShape, Family, Shape

ENTRY_POINTS = "ganworks.families"


class UnknownFamily(ValueError):
    """No family has this name; the message names those that exist."""

    def __init__(self, name: str, reason: str = "") -> None:
        close = difflib.get_close_matches(name, names(), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        super().__init__(f"no family {name!r}{reason and f' ({reason})'}; there are {', '.join(names())}{hint}")


def names() -> list[str]:
    """Return the names of all families that are installed."""
    return sorted({*built_in(), *(point.name for point in entry_points(group=ENTRY_POINTS))})


def get(name: str) -> type[Family]:
    """Return the family of this name, or `module:Class`; UnknownFamily."""
    if ":" in name:
        return _from_module(name)
    if name in built_in():
        return _only_family(importlib.import_module(f"{families.__name__}.{name}"))
    for point in entry_points(group=ENTRY_POINTS, name=name):
        return _checked(point.load(), name)
    raise UnknownFamily(name)


def build(
    family: str | type[Family],
    params: Mapping[str, Any],
    *,
    shape: Shape | None = None,
    classes: int | None = None,
    examples: Mapping[str, ExampleShape] | None = None,
) -> Family:
    """Return a family at the given parameters; pydantic's ValidationError (a ValueError) names what is wrong in them.

    examples: what those of each input are like; or shape and classes, where all inputs are alike.
    """
    kind = get(family) if isinstance(family, str) else family
    if examples is None:
        assert shape is not None
        examples = {each.name: ExampleShape(shape=shape, classes=classes) for each in kind.inputs()}
    return kind(kind.Config.model_validate(params), examples=examples)


def built_in() -> list[str]:
    """Return the names of the files in trainers/families."""
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
