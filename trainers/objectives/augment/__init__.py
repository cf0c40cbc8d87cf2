"""Augmentations of what the discriminator sees: one file each, with its Config, found by the file's name."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import Field, create_model, model_validator

from trainers.config import Part
from trainers.objectives.augmentation import Augmentation
from trainers.objectives.registry import classes_of, optional_fields


class Chosen(Part):
    """Of what the discriminator sees; null means none."""

    flips: bool = Field(default=False, description="real pictures are mirrored with probability 1/2")

    @cached_property
    def all(self) -> dict[str, Augmentation]:
        """Return those that are asked for, by name."""
        found = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in found.items() if isinstance(value, Augmentation)}

    @model_validator(mode="after")
    def _one_of_them(self) -> "Chosen":
        if len(self.all) > 1:
            raise ValueError(f"augment takes one of {' and '.join(self.all)}, not both")
        return self


if TYPE_CHECKING:

    class Augment(Chosen):
        def __init__(self, **augmentations: Any) -> None: ...
        def __getattr__(self, name: str) -> Any: ...

else:
    Augment = create_model(
        "Augment", __base__=Chosen, __doc__=Chosen.__doc__, **optional_fields(classes_of(__name__, Augmentation))
    )
