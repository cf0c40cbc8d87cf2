"""What the ranks do together. Without a process group there is one rank, and nothing here does anything."""

import contextlib
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class World:
    rank: int
    size: int

    @property
    def is_first(self) -> bool:
        return self.rank == 0


def world() -> World:
    if not dist.is_initialized():
        return World(rank=0, size=1)
    return World(rank=dist.get_rank(), size=dist.get_world_size())


def shared(module: nn.Module, device: torch.device) -> nn.Module:
    """Return the module, whose backward then leaves gradients that are the mean over ranks.

    Only what requires a gradient now takes part. Buffers stay each rank's own: they are averaged when they are read.
    """
    if world().size == 1:
        return module
    return DistributedDataParallel(
        module,
        device_ids=[device] if device.type == "cuda" else None,
        gradient_as_bucket_view=True,
        forward_sync_buffers=False,
    )


def unsynchronised(module: nn.Module) -> contextlib.AbstractContextManager[None]:
    """Surround a backward whose gradients ranks do not average yet."""
    return module.no_sync() if isinstance(module, DistributedDataParallel) else contextlib.nullcontext()


def mean_over_ranks(tensor: Tensor) -> Tensor:
    """Return a new tensor. Every rank must call it, with the same shape."""
    if world().size == 1:
        return tensor.clone()
    total = tensor.clone()
    dist.all_reduce(total)
    return total / world().size


class _DifferentiableMean(torch.autograd.Function):
    """What is made from the mean is the same on every rank, and so is its gradient; DDP then averages over ranks."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        return mean_over_ranks(tensor)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return mean_over_ranks(gradients[0])


def differentiable_mean(tensor: Tensor) -> Tensor:
    """Do as mean_over_ranks for terms of a loss that need the mean over the whole batch."""
    return tensor if world().size == 1 else _DifferentiableMean.apply(tensor)


def of_each_rank(tensor: Tensor) -> Tensor:
    """Return [world size, *shape]. Every rank must call it, with the same shape."""
    if world().size == 1:
        return tensor[None].clone()
    parts = [torch.empty_like(tensor) for _ in range(world().size)]
    dist.all_gather(parts, tensor.contiguous())
    return torch.stack(parts)


def from_first(value: T, device: torch.device) -> T:
    """Return rank 0's value, on every rank. Every rank must call it; for what is small and seldom."""
    if world().size == 1:
        return value
    told = [value]
    dist.broadcast_object_list(told, src=0, device=device)
    return told[0]
