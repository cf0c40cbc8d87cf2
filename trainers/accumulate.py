"""Gradient accumulation: one optimizer step's backward in several passes over parts of the batch, with less memory.

Losses are means over samples, so gradients add up. What a forward pass changes besides must not: running statistics
begin each pass where the step began and are averaged, and spectral norm iterates in the first pass alone.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _SpectralNorm

from trainers.batch import Batch
from trainers.layers.grouped import running_statistics
from trainers.parallel import unsynchronised
from trainers.randomness.draws import Draws

Stats = Mapping[str, Tensor]


def backward(
    loss: nn.Module, networks: Iterable[nn.Module], parts: Sequence[tuple[Batch, Draws]]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return (loss, stats), both means over the parts; leaves the gradients of their mean."""
    if len(parts) == 1:
        value, stats = loss(*parts[0])
        value.backward()
        return value.detach(), dict(stats)
    networks = list(networks)
    return _mean([_one_of(loss, networks, parts, n) for n in _averaging(networks, len(parts))])


def _one_of(
    loss: nn.Module, networks: Sequence[nn.Module], parts: Sequence[tuple[Batch, Draws]], n: int
) -> tuple[Tensor, Stats]:
    is_last = n == len(parts) - 1  # ranks average their gradients once, with the last pass
    quiet = contextlib.nullcontext() if is_last else unsynchronised(loss)
    with quiet, _without_iterations(networks, n > 0):
        value, stats = loss(*parts[n])
        (value / len(parts)).backward()
    return value.detach(), stats


def _averaging(networks: Sequence[nn.Module], count: int) -> Iterator[int]:
    """Yield 0, 1, … count - 1; each begins with the running statistics of the first, and at last their mean is left."""
    buffers = [buffer for network in networks for _, buffer in running_statistics(network)]
    before = [buffer.clone() for buffer in buffers]
    sums = [torch.zeros_like(buffer) for buffer in buffers]
    for n in range(count):
        yield n
        for buffer, begun, total in zip(buffers, before, sums, strict=True):
            total += buffer
            buffer.copy_(begun)
    for buffer, total in zip(buffers, sums, strict=True):
        buffer.copy_(total / count)


@contextlib.contextmanager
def _without_iterations(networks: Sequence[nn.Module], wanted: bool) -> Iterator[None]:
    found = [m for network in networks for m in network.modules() if isinstance(m, _SpectralNorm)] if wanted else []
    for module in found:
        module.eval()
    try:
        yield
    finally:
        for module in found:
            module.train()


def _mean(results: Sequence[tuple[Tensor, Stats]]) -> tuple[Tensor, dict[str, Tensor]]:
    values, stats = zip(*results, strict=True)
    means = {name: torch.stack([each[name] for each in stats]).mean(0) for name in stats[0]}
    return torch.stack(values).mean(), means
