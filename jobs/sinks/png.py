"""Plain PNG files, in a folder for each class where there are classes: what an image-folder reader takes."""

import re
from collections.abc import Sequence

import numpy as np

from jobs.sinks import pixels
from jobs.sinks.sink import Class, Record, Written
from jobs.storage.shards import Shard


class Png:
    data_files = "data/train/**"

    def encode(self, index: int, picture: np.ndarray, label: Class | None) -> Record:
        return Record(index=index, label=label, png=pixels.encode(picture))

    def assemble(self, shard: Shard, records: Sequence[Record]) -> list[Written]:
        return [
            Written(key=f"train/{_folder(record)}{record.index:012d}.png", content=record.png) for record in records
        ]


def _folder(record: Record) -> str:
    return "" if record.label is None else f"{_safe(record.label.name)}/"


def _safe(name: str) -> str:
    """Return a name as that of a folder: what a file system would take otherwise is written as %XX, as in URLs."""
    safe = re.sub(r'[%/\\:*?"<>|\x00-\x1f\x7f]', lambda match: f"%{ord(match[0]):02X}", name)
    return f"%2E{safe[1:]}" if safe.startswith(".") else safe


SINK = Png()
