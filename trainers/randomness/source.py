"""Where networks get their random numbers: what both training's and sampling's draws can do, and which are at work now.

A network that is random itself (dropout, noise inputs) draws from the source at work, never from torch's own generator:
in training that is keyed per group of samples, in sampling by (seed, i), so that neither the number of workers nor the
borders of shards change anything.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import torch


class DrawSource(Protocol):
    @property
    def count(self) -> int:
        """Return how many samples a draw is for."""
        ...

    def normal(self, purpose: str, *shape: int) -> torch.Tensor:
        """Return [count, *shape], N(0, 1)."""
        ...

    def uniform(self, purpose: str, *shape: int) -> torch.Tensor:
        """Return [count, *shape], in [0, 1)."""
        ...


class _AtWork:
    """The source of now, and how often each purpose was asked for since it took over."""

    def __init__(self, source: DrawSource) -> None:
        self.source = source
        self.calls: dict[str, int] = {}

    def next_purpose(self, name: str) -> str:
        self.calls[name] = self.calls.get(name, 0) + 1
        return f"{name}/{self.calls[name]}"


_stack: list[_AtWork] = []  # a process trains or samples in one thread


@contextmanager
def drawing_from(source: DrawSource) -> Iterator[None]:
    """Let networks draw from this source."""
    _stack.append(_AtWork(source))
    try:
        yield
    finally:
        _stack.pop()


@torch.compiler.disable
def drawn(name: str, batch: int, *shape: int, normal: bool = False) -> torch.Tensor:
    """Return [batch, *shape] for a network called `name`; other values at each call.

    batch: a multiple of the source's count, as where reals and fakes pass in a row.
    """
    if not _stack:
        raise RuntimeError(f"{name!r} draws random numbers, and no source is at work: use `drawing_from`")
    at_work = _stack[-1]
    blocks, left = divmod(batch, at_work.source.count)
    assert not left, f"{batch} samples are no multiple of the {at_work.source.count} that are drawn for"
    draw = at_work.source.normal if normal else at_work.source.uniform
    parts = [draw(at_work.next_purpose(name), *shape) for _ in range(blocks)]
    return parts[0] if blocks == 1 else torch.cat(parts)
