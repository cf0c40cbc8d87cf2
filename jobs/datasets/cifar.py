"""CIFAR-10 as arrays, from either of its two layouts."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np

from jobs import digest
from jobs.datasets.builtin import Builtin
from jobs.datasets.find import NotToBeHad, Report, candidates, download, nowhere

BATCH = 10_000
BATCHES = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}


def read(data: Builtin, split: str, cache: Path, report: Report) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures (N, 32, 32, 3) uint8 and labels (N,), held to the known digest."""
    (file,) = data.splits[split]
    tried = []
    for place in [*candidates(data, file.name), cache / data.name / file.name]:
        for found in (_from_pngs(place.parent, split), _from_archive(place, split)):
            if found is not None and _digest(found[0]) == file.sha256:
                return found
        tried.append(f"{place.parent}: neither the archive nor the PNGs, or another content")
    content, reason = download(f"{data.official}/{file.name}", report)
    if content is not None:
        target = cache / data.name / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        found = _from_archive(target, split)
        if found is not None and _digest(found[0]) == file.sha256:
            return found
        target.unlink()
    tried.append(f"{data.official}/{file.name}: {reason or 'another content (sha256 differs)'}")
    raise NotToBeHad(nowhere(data, file.name, tried))


def _digest(pictures: np.ndarray) -> str:
    return digest.of_bytes(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)).tobytes())


def _from_pngs(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Read one picture a row: PNGs of 10,000 × 1,024, labels as JSON beside them (`lables` in the package)."""
    from PIL import Image

    labels = folder / f"{split}_lables.json"
    files = [folder / f"{name}.png" for name in BATCHES[split]]
    if not all(file.is_file() for file in [labels, *files]):
        return None
    rows = [np.asarray(Image.open(file).convert("RGB")).reshape(BATCH, 32, 32, 3) for file in files]
    return np.concatenate(rows), np.array(json.loads(labels.read_text()), np.int64)


def _from_archive(place: Path, split: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the official binary version: records of one label byte and 3,072 bytes in the order red, green, blue."""
    if not place.is_file():
        return None
    try:
        with tarfile.open(place) as archive:
            parts = [_member(archive, f"cifar-10-batches-bin/{name}.bin") for name in BATCHES[split]]
    except (tarfile.TarError, KeyError, OSError, EOFError):
        return None
    records = np.concatenate([np.frombuffer(part, np.uint8).reshape(-1, 3073) for part in parts])
    return records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), records[:, 0].astype(np.int64)


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    return file.read() if file else io.BytesIO().read()
