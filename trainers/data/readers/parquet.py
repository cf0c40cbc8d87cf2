"""Parquet with a column of encoded pictures, as Hugging Face writes it, and perhaps one of labels.

A picture is bytes, or a record of `bytes` and `path`. Labels are integers, with their names in the file's metadata
where it has them, or words; without a column of them, the folder `label=cat` that a file lies in is its label. One batch of rows is in memory at a time.
"""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from trainers.data.classes import Label
from trainers.data.readers.decode import UnreadableImage
from trainers.data.readers.sources import BadSource, Item, Source
from trainers.data.readers.tables import HIVE, as_label, column
from trainers.data.readers.walk import Found, files_of_split

IMAGES = ("image", "img", "picture", "png", "jpg")
ROWS = 256  # at a time


def parquet_source(where: Path, found: Sequence[Found], split: str | None, asked: str | None) -> Source:
    """Open the files; BadSource where one is damaged, or has no such column. asked: the column of labels."""
    files = [_opened(path) for path in files_of_split(where, found, split)]
    schema = files[0][1].schema_arrow
    image = next((name for name in IMAGES if name in schema.names and _is_picture(schema.field(name).type)), None)
    if image is None:
        columns = ", ".join(f"{field.name} ({field.type})" for field in schema)
        raise BadSource(f"{where} has the columns {columns}; pictures are looked for as bytes in {', '.join(IMAGES)}")
    label = column(schema.names, asked, str(where))
    for path, file in files:
        if lacking := [name for name in (image, label) if name and name not in file.schema_arrow.names]:
            raise BadSource(f"{path} has no column {lacking[0]!r}, which {files[0][0].name} has")
    return Source(
        name=where.name,
        count=sum(file.metadata.num_rows for _, file in files),
        items=lambda: _items(files, image, label),
        labelled=any(_has_labels(path, file, label) for path, file in files),
        told=_told(schema, label) if label else {},
    )


def _has_labels(path: Path, file: pq.ParquetFile, label: str | None) -> bool:
    if label is None:
        return _of_folder(path) is not None
    return file.read([label]).column(label).null_count < file.metadata.num_rows


def _of_folder(path: Path) -> Label | None:
    """Return the label that Hive's way of naming folders gives to a file: `label=cat/part-0.parquet`."""
    return path.parent.name.removeprefix(HIVE) if path.parent.name.startswith(HIVE) else None


def _opened(path: Path) -> tuple[Path, pq.ParquetFile]:
    try:
        return path, pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise BadSource(f"{path} is damaged Parquet: {error}") from None


def _is_picture(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" for field in kind)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _told(schema: pa.Schema, label: str) -> dict[Label, str]:
    """Return what the metadata of Hugging Face calls the classes."""
    try:
        names = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][label]["names"]
        return dict(enumerate(map(str, names)))
    except (KeyError, ValueError, TypeError):
        return {}


def _items(files: list[tuple[Path, pq.ParquetFile]], image: str, label: str | None) -> Iterator[Item]:
    columns, index = [name for name in (image, label) if name], 0
    for path, file in files:
        of_folder = _of_folder(path)
        for row in _rows(path, file, columns):
            value = as_label(row[label], f"{path}, row {index}, column {label!r}") if label else of_folder
            yield Item(name=f"row {index}", label=value, read=partial(_content, row[image]))
            index += 1


def _rows(path: Path, file: pq.ParquetFile, columns: list[str]) -> Iterator[dict[str, Any]]:
    try:
        for batch in file.iter_batches(ROWS, columns=columns):
            yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise BadSource(f"{path} is damaged Parquet: {error}") from None


def _content(cell: Any) -> bytes:
    content: bytes | None = cell.get("bytes") if isinstance(cell, dict) else cell
    if content is None:
        raise UnreadableImage("has no bytes")
    return content
