"""Batch norm over the whole batch of all workers, where a paper's statistics are those (BigGAN, 1809.11096)."""

import torch
from torch import Tensor, nn

from trainers.parallel import differentiable_mean


class FullBatchNorm2d(nn.Module):
    """[n, channels, height, width] -> the same, normalised per channel over the batch of all ranks, without a gain.

    One all-reduce of mean and mean square, which has a gradient. The running statistics are the same on every rank.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, *, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        mean, var = self._statistics(x) if self.training else (self.running_mean, self.running_var)
        scale = torch.rsqrt(var + self.eps)
        return x * scale[:, None, None].to(x.dtype) - (mean * scale)[:, None, None].to(x.dtype)

    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        full = x.to(torch.promote_types(x.dtype, torch.float32))
        both = differentiable_mean(torch.stack([full.mean((0, 2, 3)), full.square().mean((0, 2, 3))]))
        mean, square = both.unbind()
        var = (square - mean.square()).clamp_min(0)
        with torch.no_grad():
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            self.running_var.lerp_(var.to(self.running_var.dtype), self.momentum)
        return mean, var
