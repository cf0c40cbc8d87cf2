"""The global batch is cut into fixed groups of consecutive samples, and a rank owns whole groups.

Batch statistics and random draws are per group. This is why N workers compute what one computes.
"""

from dataclasses import dataclass, replace


class BadSplit(ValueError):
    """The batch cannot be cut into the groups, or the groups not be dealt to the workers."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one rank owns of every batch."""

    batch_size: int  # samples, over all ranks
    group: int  # samples
    rank: int
    world: int

    def __post_init__(self) -> None:
        if reason := check_split(self.batch_size, self.group, self.world):
            raise BadSplit(reason)

    @property
    def groups(self) -> range:
        per_rank = self.batch_size // self.group // self.world
        return range(self.rank * per_rank, (self.rank + 1) * per_rank)

    @property
    def samples(self) -> range:
        """Return the positions within the global batch."""
        return range(self.groups.start * self.group, self.groups.stop * self.group)

    def parts(self, count: int) -> list["Share"]:
        """Return this share cut into so many of equal size, in order; BadSplit."""
        if len(self.groups) % count:
            raise BadSplit(
                f"gradient_accumulation {count} cannot share the {len(self.groups)} groups of {self.group} of each worker"
            )
        return [replace(self, rank=self.rank * count + n, world=self.world * count) for n in range(count)]

    def multiplied(self, times: int) -> "Share":
        """Return that of a batch of so many times as many groups."""
        return replace(self, batch_size=self.batch_size * times)

    def first_of_groups(self, count: int) -> "Share":
        """Return the same groups, of so many samples each."""
        return replace(self, batch_size=self.batch_size // self.group * count, group=count)


def check_split(batch_size: int, group: int, workers: int = 1) -> str | None:
    """Say why this batch cannot be shared so; None if it can."""
    if not 1 <= group <= batch_size or batch_size % group:
        return f"batch_size {batch_size} is not a multiple of group {group}"
    if (batch_size // group) % workers:
        groups = batch_size // group
        return (
            f"{workers} workers cannot share batch_size {batch_size} in groups of {group} ({groups} groups); "
            f"possible numbers of workers: {', '.join(map(str, possible_workers(batch_size, group)))}"
        )
    return None


def possible_workers(batch_size: int, group: int) -> list[int]:
    groups = batch_size // group
    return [n for n in range(1, groups + 1) if groups % n == 0]
