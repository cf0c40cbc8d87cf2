"""Parquet with a column of encoded pictures, as Hugging Face writes it, and perhaps one of labels.

A picture is bytes, or a record of `bytes` and `path`. Labels are integers, with their names in the file's metadata
where it has them, or words. One batch of rows is in memory at a time.
"""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trainers.data.decode import UnreadableImage, decode
from trainers.data.sources import BadSource, Item, Source, files_of_split, natural

IMAGES = ("image", "img", "picture", "png", "jpg")
LABELS = ("label", "labels", "class", "cls")
ROWS = 256  # at a time


def parquet_source(where: Path, split: str | None) -> Source:
    """BadSource where a file is damaged, or has no such column."""
    files = [_opened(path) for path in files_of_split(where, ".parquet", split)]
    schema = files[0].schema_arrow
    image = next((name for name in IMAGES if name in schema.names and _is_picture(schema.field(name).type)), None)
    if image is None:
        columns = ", ".join(f"{field.name} ({field.type})" for field in schema)
        raise BadSource(f"{where} has the columns {columns}; pictures are looked for as bytes in {', '.join(IMAGES)}")
    label = next((name for name in LABELS if name in schema.names), None)
    names = _class_names(files, schema, label) if label else None
    return Source(
        name=where.name,
        count=sum(file.metadata.num_rows for file in files),
        items=lambda: _items(files, image, label, names),
        class_names=names,
    )


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise BadSource(f"{path} is damaged Parquet: {error}") from None


def _is_picture(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" for field in kind)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _class_names(files: list[pq.ParquetFile], schema: pa.Schema, label: str) -> tuple[str, ...] | None:
    """Return them in the order of their numbers; None where a row has no label."""
    values = [value for file in files for value in file.read([label]).column(label).to_pylist()]
    if any(value is None for value in values):
        return None
    if all(isinstance(value, str) for value in values):
        return tuple(sorted(set(values), key=natural))
    if not all(isinstance(value, int) and value >= 0 for value in values):
        raise BadSource(f"column {label!r} is {schema.field(label).type}; wanted integers from 0, or words")
    return _told(schema, label) or tuple(str(number) for number in range(max(values) + 1))


def _told(schema: pa.Schema, label: str) -> tuple[str, ...] | None:
    """Return what the metadata of Hugging Face calls the classes."""
    try:
        told = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][label]["names"]
    except (KeyError, ValueError, TypeError):
        return None
    return tuple(map(str, told))


def _items(files: list[pq.ParquetFile], image: str, label: str | None, names: tuple[str, ...] | None) -> Iterator[Item]:
    ranks = {name: rank for rank, name in enumerate(names or ())}
    columns, index = [name for name in (image, label) if name], 0
    for file in files:
        for batch in file.iter_batches(ROWS, columns=columns):
            for row in batch.to_pylist():
                value = row.get(label) if names and label else None
                number = ranks[value] if isinstance(value, str) else value
                yield Item(name=f"row {index}", label=number, read=partial(_decoded, row[image]))
                index += 1


def _decoded(cell: Any) -> np.ndarray:
    content = cell.get("bytes") if isinstance(cell, dict) else cell
    if content is None:
        raise UnreadableImage("has no bytes")
    return decode(content)
