"""Self-attention over the places of a feature map: Zhang et al., 1805.08318."""

import torch
from torch import Tensor, nn


class SelfAttention(nn.Module):
    """x + γ · attention(x), with γ from 0, so that a network begins without it.

    Queries and keys of an eighth of the channels and values of half, over keys and values pooled by 2, as in the
    authors' code. Matrix product and softmax, because fused attention cannot be differentiated twice.
    """

    def __init__(self, channels: int, *, bias: bool = True) -> None:
        super().__init__()
        narrow, half = max(1, channels // 8), max(1, channels // 2)
        self.query, self.key = (nn.Conv2d(channels, narrow, 1, bias=bias) for _ in range(2))
        self.value, self.out = (
            nn.Conv2d(before, after, 1, bias=bias) for before, after in ((channels, half), (half, channels))
        )
        self.pool = nn.MaxPool2d(2)
        self.gain = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        query = self.query(x).flatten(2)
        key, value = self.pool(self.key(x)).flatten(2), self.pool(self.value(x)).flatten(2)
        weights = torch.softmax(query.transpose(1, 2) @ key, dim=-1)
        seen = (value @ weights.transpose(1, 2)).unflatten(2, tuple(x.shape[2:]))
        return x + self.gain * self.out(seen)
