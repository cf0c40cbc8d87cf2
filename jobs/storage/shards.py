"""Which shards a generation job has, and which are still to be made: pure functions.

A shard is a fixed range of sample indices, so that its bytes never depend on who writes it, or when.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Shard:
    number: int
    of: int
    start: int  # first sample index
    stop: int  # past the last

    @property
    def count(self) -> int:
        return self.stop - self.start


def plan(samples: int, samples_per_shard: int) -> list[Shard]:
    """Return all shards of a data set of `samples`, the last one shorter."""
    of = -(-samples // samples_per_shard)
    return [
        Shard(number=n, of=of, start=n * samples_per_shard, stop=min((n + 1) * samples_per_shard, samples))
        for n in range(of)
    ]


def missing(shards: Iterable[Shard], done: Collection[int]) -> list[Shard]:
    """Return the shards whose numbers are not among those that are done."""
    return [shard for shard in shards if shard.number not in done]
