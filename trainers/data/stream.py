"""The batches that one rank sees, by position in the stream of examples."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from trainers.batch import Batch, Examples
from trainers.data.order import BalancedOrder, Order
from trainers.data.packed import PackedData
from trainers.gan.family import Input
from trainers.randomness.groups import Share
from trainers.randomness.keys import key

RESIDENT_SHARE = 0.25  # of the device's free memory that the data set may take


class LabelsMissing(ValueError):
    """Classes are to be balanced, and the data has none."""


class Unpairable(ValueError):
    """Inputs that belong together have not equally many examples."""


class Stream:
    """A batch of every input that a family is fed."""

    def __init__(
        self,
        inputs: Sequence[Input],
        data: Mapping[str, PackedData],
        share: Share,
        *,
        seed: int,
        device: torch.device,
        dtype: torch.dtype,
        balanced: bool = False,
    ) -> None:
        """Raise LabelsMissing or Unpairable. data: by the inputs' names; balanced: the first's classes equally often."""
        orders = _orders(inputs, data, seed, balanced)
        self._sources = {
            each.name: _Source(data[each.name], orders[each.name], share, device, dtype) for each in inputs
        }

    def batch(self, position: int) -> Batch:
        """Return this rank's examples of the batch that begins at `position`."""
        return Batch(inputs={name: source.examples(position) for name, source in self._sources.items()})


class _Source:
    """Gathers by index from the mapped file, or from the device's memory where the data set fits."""

    def __init__(
        self, data: PackedData, order: Order | BalancedOrder, share: Share, device: torch.device, dtype: torch.dtype
    ) -> None:
        self._data, self._order, self._share, self._device, self._dtype = data, order, share, device, dtype
        self._mapped = np.asarray(data.samples)  # np.memmap itself makes each gathering slower
        self._resident = _resident(data, device)

    def examples(self, position: int) -> Examples:
        own = self._share.samples
        indices = self._order.indices(range(position + own.start, position + own.stop))
        labels = self._data.labels
        return Examples(
            samples=self._scaled(self._gathered(indices)),
            labels=None if labels is None else torch.from_numpy(labels[indices]).to(self._device),
        )

    def _gathered(self, indices: np.ndarray) -> torch.Tensor:
        if self._resident is not None:
            return self._resident.index_select(0, torch.from_numpy(indices).to(self._device))
        samples = torch.from_numpy(self._mapped.take(indices, axis=0))
        if self._device.type == "cuda":
            samples = samples.pin_memory()
        return samples.to(self._device, non_blocking=True)

    def _scaled(self, samples: torch.Tensor) -> torch.Tensor:
        """Return them in -1..1."""
        scaled = samples.to(self._dtype)
        if samples.dtype == torch.uint8:
            scaled.div_(127.5).sub_(1)
        return scaled.contiguous(memory_format=torch.channels_last)


def _orders(
    inputs: Sequence[Input], data: Mapping[str, PackedData], seed: int, balanced: bool
) -> dict[str, Order | BalancedOrder]:
    """Return an order for each input: that of the input it is paired with, or one of its own."""
    found: dict[str, Order | BalancedOrder] = {}
    for number, each in enumerate(inputs):
        own = data[each.name]
        if each.paired_with is not None:
            _check_pair(each, own, data[each.paired_with])
            found[each.name] = found[each.paired_with]
        elif number == 0 and balanced:
            found[each.name] = _balanced(own, seed)
        else:
            found[each.name] = Order(own.count, seed=key(seed, "input", each.name)[0] if number else seed)
    return found


def _check_pair(each: Input, own: PackedData, other: PackedData) -> None:
    if own.count != other.count:
        raise Unpairable(
            f"inputs {each.paired_with!r} and {each.name!r} belong together example by example, and have {other.count} "
            f"and {own.count} examples"
        )


def _balanced(data: PackedData, seed: int) -> BalancedOrder:
    if data.labels is None:
        raise LabelsMissing("balanced is true, and the data has no labels")
    return BalancedOrder(data.labels, seed=seed)


def _resident(data: PackedData, device: torch.device) -> torch.Tensor | None:
    """Return the whole data set on the device; None on a CPU, where the page cache is as good, and where it does not fit."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    if data.samples.nbytes > RESIDENT_SHARE * free:
        return None
    return torch.from_numpy(np.array(data.samples)).to(device)
