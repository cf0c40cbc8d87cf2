"""Which shards a generation job has, and which are still to be made: pure functions.

A shard is a fixed range of sample indices, so that its bytes never depend on who writes it, or when.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import overload


@dataclass(frozen=True, kw_only=True)
class Shard:
    number: int
    of: int
    start: int  # first sample index
    stop: int  # past the last

    @property
    def count(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, kw_only=True)
class Shards(Sequence[Shard]):
    """All shards of a data set, reckoned when asked for; the last one may be shorter."""

    samples: int
    samples_per_shard: int

    def __len__(self) -> int:
        return -(-self.samples // self.samples_per_shard)

    @overload
    def __getitem__(self, n: int) -> Shard: ...
    @overload
    def __getitem__(self, n: slice) -> list[Shard]: ...
    def __getitem__(self, n: int | slice) -> Shard | list[Shard]:
        numbers = range(len(self))[n]  # raises IndexError as a list does
        return self._shard(numbers) if isinstance(numbers, int) else [self._shard(number) for number in numbers]

    def _shard(self, n: int) -> Shard:
        start = n * self.samples_per_shard
        return Shard(number=n, of=len(self), start=start, stop=min(start + self.samples_per_shard, self.samples))


def plan(samples: int, samples_per_shard: int) -> Shards:
    """Return all shards of a data set of `samples`."""
    return Shards(samples=samples, samples_per_shard=samples_per_shard)


def missing(shards: Iterable[Shard], done: Collection[int]) -> list[Shard]:
    """Return the shards whose numbers are not among those that are done."""
    return [shard for shard in shards if shard.number not in done]
