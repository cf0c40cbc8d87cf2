"""One file, one objective: whatever lies in a folder is found by its file's name, and adding one edits no other file."""

import pkgutil
from collections.abc import Iterable
from importlib import import_module
from types import ModuleType
from typing import Any

from pydantic import Field


def modules_of(package: str) -> dict[str, ModuleType]:
    """Return every module of a package by its name, in alphabetical order."""
    found = pkgutil.iter_modules(import_module(package).__path__)
    return {name: import_module(f"{package}.{name}") for name in sorted(module.name for module in found)}


def classes_of(package: str, base: type) -> dict[str, type[Any]]:
    """Return the one subclass of `base` that each module of a package defines, by the module's name."""
    return {name: _only(module, base) for name, module in modules_of(package).items()}


def optional_fields(classes: dict[str, type[Any]]) -> dict[str, Any]:
    """Return a field for each class, None by default, as pydantic.create_model takes them."""
    return {
        name: (found | None, Field(default=None, description=f"{_summary(found)}; null means none"))
        for name, found in classes.items()
    }


def _only(module: ModuleType, base: type) -> type[Any]:
    own: Iterable[Any] = vars(module).values()
    found = [c for c in own if isinstance(c, type) and issubclass(c, base) and c.__module__ == module.__name__]
    assert len(found) == 1, f"{module.__name__} must define one {base.__name__}, not {found}"
    return found[0]


def _summary(found: type[Any]) -> str:
    return (found.__doc__ or found.__name__).strip().splitlines()[0].rstrip(".")
