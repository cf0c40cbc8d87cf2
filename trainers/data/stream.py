"""The batches that one rank sees, by position in the stream of examples."""

import numpy as np
import torch

from trainers.data.order import BalancedOrder, Order
from trainers.data.packed import PackedData
from trainers.phase import Batch
from trainers.randomness.groups import Share

RESIDENT_SHARE = 0.25  # of the device's free memory that the data set may take


class LabelsMissing(ValueError):
    """Classes are to be balanced, and the data has none."""


class Stream:
    """Gathers by index from the mapped file, or from the device's memory where the data set fits."""

    def __init__(
        self,
        data: PackedData,
        share: Share,
        *,
        seed: int,
        device: torch.device,
        dtype: torch.dtype,
        balanced: bool = False,
    ) -> None:
        """balanced: every class equally often; LabelsMissing."""
        self._data, self._share, self._device, self._dtype = data, share, device, dtype
        self._order = _balanced(data, seed) if balanced else Order(data.count, seed=seed)
        self._mapped = np.asarray(data.samples)  # np.memmap itself makes each gathering slower
        self._resident = _resident(data, device)

    def batch(self, position: int) -> Batch:
        """This rank's samples of the batch that begins at `position`."""
        own = self._share.samples
        indices = self._order.indices(range(position + own.start, position + own.stop))
        labels = self._data.labels
        return Batch(
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
        """To -1..1."""
        scaled = samples.to(self._dtype)
        if samples.dtype == torch.uint8:
            scaled.div_(127.5).sub_(1)
        return scaled.contiguous(memory_format=torch.channels_last)


def _balanced(data: PackedData, seed: int) -> BalancedOrder:
    if data.labels is None:
        raise LabelsMissing("balanced is true, and the data has no labels")
    return BalancedOrder(data.labels, seed=seed)


def _resident(data: PackedData, device: torch.device) -> torch.Tensor | None:
    """The whole data set on the device; None on a CPU, where the page cache is as good, and where it does not fit."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    if data.samples.nbytes > RESIDENT_SHARE * free:
        return None
    return torch.from_numpy(np.array(data.samples)).to(device)
