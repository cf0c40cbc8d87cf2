"""Labels that stand in a file beside the pictures: Hugging Face's metadata.csv|jsonl|parquet, labels.json, and the
dataset.json of StyleGAN2-ADA and 3."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from trainers.data.classes import Label
from trainers.data.readers.sources import BadSource

COLUMNS = ("label", "labels", "target", "fine_label", "class", "cls")  # where labels are looked for
NAMES = ("file_name", "filename", "file", "image", "path")  # columns of the pictures' names
METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
STYLEGAN = "dataset.json"
HIVE = "label="  # what Hive puts before the value in the name of a folder
Row = Mapping[str, Any]


def is_metadata(name: PurePosixPath) -> bool:
    """Return whether a file of this name says something of the pictures beside it."""
    return name.name.lower() in (*METADATA, "labels.json", STYLEGAN)


def column(names: Sequence[str], asked: str | None, where: str) -> str | None:
    """Return the column of labels; None where there is none. BadSource where two could be, or the one asked for is not there."""
    if asked is not None:
        if asked not in names:
            raise BadSource(f"{where} has no column {asked!r}; it has {', '.join(names)}")
        return asked
    found = [name for name in COLUMNS if name in names]
    if len(found) > 1:
        raise BadSource(
            f"{where}: labels could be {' or '.join(found)}; data.label says which column, `labels: none` takes neither"
        )
    return found[0] if found else None


def as_label(value: Any, where: str) -> Label | None:
    """Return a cell as a label; None where it is empty (also NaN, which pandas puts there). BadSource for what is none."""
    if value is None or value != value or value == "":
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)  # a column of numbers in which one is missing is one of floats
    if isinstance(value, int) and value >= 0:
        return int(value)
    if isinstance(value, str):
        return int(value) if value.isdecimal() and str(int(value)) == value else value
    raise BadSource(f"{where}: the label is {value!r} ({type(value).__name__}); wanted integers from 0, or words")


def labels_of(name: PurePosixPath, content: bytes, asked: str | None) -> dict[PurePosixPath, Label | None] | None:
    """Return the labels that such a file gives to pictures, by their path from the file's folder; None: it has no labels.

    asked: the column. BadSource for what cannot be read.
    """
    try:
        pairs = _pairs(name, content, asked)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, BadSource):
            raise
        raise BadSource(f"{name} cannot be read: {error}") from None
    if pairs is None:
        return None
    return {PurePosixPath(str(file)): as_label(value, f"{name}: {file}") for file, value in pairs}


Pairs = Iterable[tuple[str, Any]]


def _pairs(name: PurePosixPath, content: bytes, asked: str | None) -> Pairs | None:
    match name.suffix.lower():
        case ".csv":
            return _of_rows(list(csv.DictReader(io.StringIO(content.decode("utf-8-sig")))), name, asked)
        case ".jsonl":
            return _of_rows([json.loads(line) for line in content.decode().splitlines() if line.strip()], name, asked)
        case ".parquet":
            import pyarrow.parquet as pq

            return _of_rows(pq.read_table(io.BytesIO(content)).to_pylist(), name, asked)
        case _:
            return _of_json(json.loads(content.decode()))


def _of_rows(rows: Sequence[Row], name: PurePosixPath, asked: str | None) -> Pairs | None:
    names = list(rows[0]) if rows else []
    wanted = column(names, asked, str(name))
    if wanted is None:
        return None
    file = next((each for each in NAMES if each in names), None)
    if file is None:
        raise BadSource(f"{name} has the columns {', '.join(names)}; the pictures' names are looked for as {NAMES[0]}")
    return [(row[file], row.get(wanted)) for row in rows]


def _of_json(document: Any) -> Pairs | None:
    """Read StyleGAN's {"labels": [[name, label], …]}, or null for the list, or others' object of labels by name."""
    labels = document["labels"] if isinstance(document, dict) and "labels" in document else document
    if labels is None:
        return None
    return [*labels.items()] if isinstance(labels, dict) else [(file, value) for file, value in labels]


def read_all(
    files: Sequence[tuple[PurePosixPath, Callable[[], bytes]]], asked: str | None
) -> tuple[dict[PurePosixPath, Label | None] | None, bool]:
    """Return the labels of all such files by the pictures' paths, and whether they come from StyleGAN's file, which holds
    alone: its folders are counters."""
    found: dict[PurePosixPath, Label | None] | None = None
    stylegan = any(name.name == STYLEGAN for name, _ in files)
    for name, read in files:
        if stylegan and name.name != STYLEGAN:
            continue
        labels = labels_of(name, read(), asked)
        if labels is not None:
            found = {**(found or {}), **{name.parent / file: label for file, label in labels.items()}}
    return found, stylegan
