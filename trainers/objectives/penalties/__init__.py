"""Penalties on a player: one file each, with its Config and its term, found by the file's name."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import create_model

from trainers.config import Part
from trainers.objectives.penalty import Penalty
from trainers.objectives.registry import classes_of, optional_fields


class Chosen(Part):
    """On the discriminator, or on the generator where it says so."""

    @cached_property
    def all(self) -> dict[str, Penalty]:
        """Return those that are asked for, by name, in the order of their terms."""
        return {name: penalty for name in type(self).model_fields if (penalty := getattr(self, name)) is not None}

    def of(self, player: str, *, lazy: bool) -> dict[str, Penalty]:
        """Return those of a player that have phases of their own, or those that come with every step."""
        return {n: p for n, p in self.all.items() if p.player == player and (p.interval > 1) == lazy}


if TYPE_CHECKING:

    class Penalties(Chosen):
        def __init__(self, **penalties: Any) -> None: ...
        def __getattr__(self, name: str) -> Any: ...

else:
    Penalties = create_model(
        "Penalties", __base__=Chosen, __doc__=Chosen.__doc__, **optional_fields(classes_of(__name__, Penalty))
    )
