"""Layers that let a discriminator compare the samples of a group, so that it sees a generator repeat itself."""

import torch
from torch import Tensor, nn

from trainers.layers.grouped import Grouped

SUBGROUP = 4  # samples that are compared, where a group has as many


class MinibatchStddev(Grouped):
    """[n, c, h, w] -> [n, c + 1, h, w]: the mean deviation within runs of 4 consecutive samples (1710.10196).

    Consecutive, not strided as usual: whole runs then lie within a group, and so on one rank.
    """

    def __init__(self, size: int = SUBGROUP) -> None:
        """Take `size`: samples of a run, where a group has as many."""
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        size = self._size(len(x))
        runs = x.unflatten(0, (-1, size))
        spread = (runs.var(1, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))
        return torch.cat([x, spread.repeat_interleave(size)[:, None, None, None].expand(-1, 1, *x.shape[2:])], 1)

    def _size(self, batch: int) -> int:
        group = batch // self.groups_in(batch)
        return next(size for size in range(min(self.size, group), 0, -1) if group % size == 0)


class MinibatchDiscrimination(Grouped):
    """[n, d] -> [n, d + kernels]: how near each sample is to the others of its group (Salimans et al., 1606.03498)."""

    def __init__(self, width: int, kernels: int = 16, dimension: int = 8) -> None:
        super().__init__()
        self.project = nn.Parameter(torch.randn(width, kernels, dimension) * 0.02)

    def forward(self, features: Tensor) -> Tensor:
        places = torch.einsum("nd,dkm->nkm", features, self.project)
        groups = places.unflatten(0, (self.groups_in(len(features)), -1))
        gaps = (groups[:, :, None] - groups[:, None]).abs().sum(-1)
        near = torch.exp(-gaps).sum(2) - 1  # without itself
        return torch.cat([features, near.flatten(0, 1)], 1)
