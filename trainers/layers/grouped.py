"""What layers that couple samples have in common: the size of the groups within which they do."""

from collections.abc import Iterator

import torch
from torch import nn


class Grouped(nn.Module):
    """A layer that couples the samples of a group, and only those."""

    group: int | None = None  # samples; None: the whole batch is one group

    def groups_in(self, batch: int) -> int:
        """Return how many groups a batch of this many samples holds."""
        if self.group is None:
            return 1
        assert batch % self.group == 0, f"{batch} samples are not whole groups of {self.group}"
        return batch // self.group


def set_group(network: nn.Module, group: int | None) -> None:
    for module in network.modules():
        if isinstance(module, Grouped):
            module.group = group


class RunningStatistics(Grouped):
    """A layer whose buffers are means of what each rank saw: they are averaged over ranks when they are read."""

    def running_statistics(self) -> tuple[str, ...]:
        """Return names of those buffers."""
        raise NotImplementedError


def running_statistics(network: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Return (name in the state dict, buffer) of all that must be averaged over ranks."""
    for prefix, module in network.named_modules():
        if isinstance(module, RunningStatistics):
            for name in module.running_statistics():
                yield f"{prefix}.{name}" if prefix else name, module.get_buffer(name)
