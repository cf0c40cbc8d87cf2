"""The examples of one optimizer step, by the name of the input that they are of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Examples:
    """This rank's part of a batch of one input, or of as many fakes."""

    samples: Tensor  # [n, channels, height, width] in -1..1; vectors are the channels of a single pixel
    labels: Tensor | None = None  # [n] int64

    def parts(self, count: int) -> list["Examples"]:
        """Return so many of equal size, in order."""
        labels = self.labels.chunk(count) if self.labels is not None else [None] * count
        return [Examples(samples=part, labels=own) for part, own in zip(self.samples.chunk(count), labels, strict=True)]

    def first_of_groups(self, group: int, count: int) -> "Examples":
        """Return so many of each group of consecutive samples."""
        return self._each(lambda tensor: tensor.unflatten(0, (-1, group))[:, :count].flatten(0, 1))

    def repeated(self, group: int, times: int) -> "Examples":
        """Return each group so many times in a row, so that a rank's are the same for any number of workers."""
        return self._each(lambda t: t.unflatten(0, (-1, group)).repeat_interleave(times, 0).flatten(0, 1))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Examples":
        return Examples(samples=change(self.samples), labels=None if self.labels is None else change(self.labels))


def joined(reals: Examples, fakes: Examples) -> Examples:
    """Return both in a row; without labels where either has none."""
    labels = None
    if reals.labels is not None and fakes.labels is not None:
        labels = torch.cat([reals.labels, fakes.labels])
    return Examples(samples=torch.cat([reals.samples, fakes.samples]), labels=labels)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """This rank's part of a batch: as many examples of each input."""

    inputs: Mapping[str, Examples]

    def __getitem__(self, name: str) -> Examples:
        return self.inputs[name]

    def parts(self, count: int) -> list["Batch"]:
        """Return so many of equal size, in order."""
        cut = {name: examples.parts(count) for name, examples in self.inputs.items()}
        return [Batch(inputs={name: parts[n] for name, parts in cut.items()}) for n in range(count)]

    def repeated(self, group: int, times: int) -> "Batch":
        """Return each group of each input so many times in a row."""
        return Batch(inputs={name: examples.repeated(group, times) for name, examples in self.inputs.items()})
