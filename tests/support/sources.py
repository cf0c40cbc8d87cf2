"""Makes small data sets as people have them: real files of every kind, each picture of one grey."""

import io
import json
import struct
import tarfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

SIDE = 8


def png(grey: int = 0, size: tuple[int, int] = (SIDE, SIDE)) -> bytes:
    file = io.BytesIO()
    Image.new("L", size, grey).save(file, "PNG")
    return file.getvalue()


def folder(where: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (where / name).parent.mkdir(parents=True, exist_ok=True)
        (where / name).write_bytes(content)
    return where


def zipped(where: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(where, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return where


def tarred(where: Path, files: Mapping[str, bytes], mode: str = "w") -> Path:
    where.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(where, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return where


def parquet(where: Path, **columns: Sequence[Any]) -> Path:
    where.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({name: list(values) for name, values in columns.items()}), where)
    return where


def npz(where: Path, labels: Sequence[int]) -> Path:
    np.savez(where, images=np.zeros((len(labels), SIDE, SIDE), np.uint8), labels=np.array(labels, np.int64))
    return where


def idx(where: Path, labels: Sequence[int]) -> Path:
    pictures, numbers = np.zeros((len(labels), SIDE, SIDE), np.uint8), np.array(labels, np.uint8)
    for what, array in (("images-idx3", pictures), ("labels-idx1", numbers)):
        head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        folder(where, {f"train-{what}-ubyte": head + array.tobytes()})
    return where


def shards(where: Path, labels: Iterable[int]) -> Path:
    """A tar of WebDataset, with the labels as .cls."""
    files: dict[str, bytes] = {}
    for number, label in enumerate(labels):
        files |= {f"{number:04d}.png": png(number), f"{number:04d}.cls": str(label).encode()}
    return tarred(where, files)


def hugging_face(where: Path, labels: Mapping[str, Any], kind: str) -> Path:
    """A folder of pictures with metadata.csv, .jsonl or .parquet."""
    files = {name: png() for name in labels}
    match kind:
        case "csv":
            files["metadata.csv"] = "".join(
                f"{name},{label}\n" for name, label in [("file_name", "label"), *labels.items()]
            ).encode()
        case "jsonl":
            rows = [json.dumps({"file_name": name, "label": label}) for name, label in labels.items()]
            files["metadata.jsonl"] = "\n".join(rows).encode()
        case "parquet":
            parquet(where / "metadata.parquet", file_name=[*labels], label=[*labels.values()])
    return folder(where, files)
