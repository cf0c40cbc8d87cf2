"""The data of each input of a family, by name."""

from collections.abc import Mapping, Sequence

from trainers.data.packed import PackedData
from trainers.gan.family import Input

Data = PackedData | Mapping[str, PackedData]  # of the family's only input, or of each by its name


class InputsMissing(ValueError):
    """The data lacks an input of the family, or has one that it does not know."""


def by_input(inputs: Sequence[Input], data: Data) -> dict[str, PackedData]:
    """Return the data of each input by its name, in the family's order; InputsMissing."""
    if isinstance(data, PackedData):
        data = {inputs[0].name: data}
    wanted = [each.name for each in inputs]
    if sorted(wanted) != sorted(data):
        raise InputsMissing(f"the family is fed {', '.join(wanted)}, and the data is of {', '.join(sorted(data))}")
    return {name: data[name] for name in wanted}
