"""Plain PNG files, in a folder for each class where there are classes: what an image-folder reader takes."""

from collections.abc import Sequence

import numpy as np

from jobs.sinks import pixels
from jobs.sinks.sink import Record, Written
from jobs.storage.shards import Shard


class Png:
    data_files = "data/train/**"

    def encode(self, index: int, picture: np.ndarray, label: int | None) -> Record:
        return Record(index=index, label=label, png=pixels.encode(picture))

    def assemble(self, shard: Shard, records: Sequence[Record]) -> list[Written]:
        return [
            Written(key=f"train/{_folder(record)}{record.index:012d}.png", content=record.png) for record in records
        ]


def _folder(record: Record) -> str:
    return "" if record.label is None else f"{record.label:04d}/"


SINK = Png()
