"""What a sink is: it encodes one sample at a time (in threads), then puts a shard's objects together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from jobs.storage.shards import Shard


@dataclass(frozen=True, kw_only=True)
class Class:
    """That of a sample."""

    number: int  # in the model
    name: str


@dataclass(frozen=True, kw_only=True)
class Record:
    """One encoded sample."""

    index: int
    label: Class | None
    png: bytes


@dataclass(frozen=True, kw_only=True)
class Written:
    """One object of a shard; `key` is relative to the job's data prefix."""

    key: str
    content: bytes


class Sink(Protocol):
    data_files: str  # glob below the job's prefix, for the data card

    def encode(self, index: int, picture: np.ndarray, label: Class | None) -> Record:
        """Encode one sample, (C, H, W) uint8. Called from several threads."""

    def assemble(self, shard: Shard, records: Sequence[Record]) -> list[Written]:
        """Return the objects of a whole shard. Equal records give equal bytes."""
