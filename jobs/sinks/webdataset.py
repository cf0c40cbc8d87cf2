"""WebDataset: one tar a shard, members `<index:012d>.png`, `.cls`, `.json`; fixed times and owners, so equal bytes."""

import io
import json
import tarfile
from collections.abc import Sequence

import numpy as np

from jobs.sinks import pixels
from jobs.sinks.sink import Class, Record, Written
from jobs.storage.shards import Shard


class WebDataset:
    data_files = "data/**/*.tar"

    def encode(self, index: int, picture: np.ndarray, label: Class | None) -> Record:
        return Record(index=index, label=label, png=pixels.encode(picture))

    def assemble(self, shard: Shard, records: Sequence[Record]) -> list[Written]:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for record in records:
                for extension, content in _members(record):
                    _add(tar, f"{record.index:012d}.{extension}", content)
        return [Written(key=f"train-{shard.number:05d}-of-{shard.of:05d}.tar", content=buffer.getvalue())]


def _members(record: Record) -> list[tuple[str, bytes]]:
    about: dict[str, int | str] = {"index": record.index}
    if record.label is None:
        return [("png", record.png), ("json", json.dumps(about).encode())]
    about |= {"label": record.label.number, "class": record.label.name}
    return [("png", record.png), ("cls", str(record.label.number).encode()), ("json", json.dumps(about).encode())]


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    info.mode = 0o644
    tar.addfile(info, io.BytesIO(content))


SINK = WebDataset()
