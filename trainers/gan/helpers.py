"""The pretrained networks that a family asks for: frozen, in no checkpoint and no optimizer."""

from collections.abc import Callable, Mapping
from pathlib import Path

from torch import nn

from trainers.gan.family import Helper

FindHelper = Callable[[Helper], Path]


class HelperMissing(ValueError):
    """A family needs a pretrained network, and nothing finds it."""


def load_helpers(wanted: Mapping[str, Helper], find: FindHelper | None) -> dict[str, nn.Module]:
    """Return the pretrained networks that a family needs, by the names it has for them; HelperMissing."""
    found = {}
    for name, helper in wanted.items():
        if find is None:
            raise HelperMissing(f"the family needs {helper.file} ({name}), and nothing finds it; {helper.where}")
        found[name] = helper.build(find(helper))
    return found
