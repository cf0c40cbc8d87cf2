"""Batch norm whose statistics are those of a group, so that they do not depend on the number of workers.

Rank-local statistics of the whole batch differ from one worker's by 8e-4 after one step; nn.SyncBatchNorm knows
neither CPUs nor double backward.
"""

import torch
import torch.nn.functional as F
from torch import nn

from trainers.layers.grouped import RunningStatistics


class GroupBatchNorm2d(RunningStatistics):
    """[n, channels, height, width] -> the same, normalised per group and channel (Ioffe and Szegedy, 1502.03167).

    The running statistics move once per forward pass, by the mean over its groups; this is linear, so their average
    over ranks is what one worker would have.
    """

    running_mean: torch.Tensor
    running_var: torch.Tensor

    def __init__(self, channels: int, *, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True) -> None:
        """Take `affine`: with a gain and a shift of its own."""
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(channels)) if affine else None
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def running_statistics(self) -> tuple[str, ...]:
        return ("running_mean", "running_var")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        groups = self.groups_in(len(x))
        if groups == 1:
            return self._normalise(x, self.running_mean, self.running_var, self.momentum)
        seen = x.new_zeros(2, groups, x.shape[1], dtype=self.running_mean.dtype)
        parts = [self._normalise(part, seen[0, g], seen[1, g], 1.0) for g, part in enumerate(x.chunk(groups))]
        with torch.no_grad():
            self.running_mean.lerp_(seen[0].mean(0), self.momentum)
            self.running_var.lerp_(seen[1].mean(0), self.momentum)
        return torch.cat(parts)

    def _normalise(self, x: torch.Tensor, mean: torch.Tensor, var: torch.Tensor, momentum: float) -> torch.Tensor:
        return F.batch_norm(x, mean, var, self.weight, self.bias, True, momentum, self.eps)
