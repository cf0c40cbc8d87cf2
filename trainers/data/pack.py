"""The packer: pictures as people have them -> one packed folder. The same pictures give the same bytes."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from trainers.data.decode import UnreadableImage
from trainers.data.fit import fit
from trainers.data.packed import LABELS, META, VERSION, DamagedData, PackedData, content_digest, open_packed
from trainers.data.recognise import find_source
from trainers.data.shapes import ProceduralSource
from trainers.data.sources import BadSource, Item, Source, ready
from trainers.data.writer import SampleWriter

LABEL_MODES = ("auto", "none", "required")
PROGRESS_EVERY = 500  # pictures
NAMED_IN_ERRORS = 20

Progress = Callable[[int, int], None]  # (done, total) pictures
Skipped = list[dict[str, str]]


class UnreadableImages(ValueError):
    """More pictures than `max_corrupt_share` allows cannot be used; the message names them."""

    def __init__(self, source: str, count: int, skipped: Skipped) -> None:
        self.skipped = skipped
        lines = [f"  {entry['name']}: {entry['reason']}" for entry in skipped[:NAMED_IN_ERRORS]]
        if len(skipped) > NAMED_IN_ERRORS:
            lines.append(f"  … and {len(skipped) - NAMED_IN_ERRORS} more")
        head = f"{source}: {len(skipped)} of {count} pictures cannot be used"
        super().__init__("\n".join([head, *lines]))


def pack(
    source: Path | ProceduralSource,
    out: Path,
    *,
    resolution: int | None,
    labels: str = "auto",
    split: str | None = None,
    channels: int | None = None,
    max_corrupt_share: float = 0.0,
    progress: Progress | None = None,
) -> PackedData:
    """Packs `source` into the folder `out`, which appears whole or not at all.

    resolution: of the square pictures; None keeps their size, which must then be one.
    labels: auto (where the source has them), none, required.
    split: train, test or validation, where the source has splits; None means train.
    channels: 1 or 3; None is 3 as soon as one picture has colour.
    max_corrupt_share: 0.01 lets up to 1 % of the pictures be unreadable; they are named in meta.json.
    Raises BadSource for the source as a whole, UnreadableImages naming the pictures.
    """
    if labels not in LABEL_MODES:
        raise ValueError(f"labels is {labels!r}; it is one of {', '.join(LABEL_MODES)}")
    found = find_source(source, split, resolution)
    if labels == "required" and found.class_names is None:
        raise BadSource(f"{found.name} has no labels, and labels are required")
    return _pack(
        found,
        Path(out),
        resolution=resolution,
        labelled=labels != "none" and found.class_names is not None,
        channels=channels,
        max_corrupt_share=max_corrupt_share,
        progress=progress,
    )


def pack_arrays(
    images: Iterable[np.ndarray],
    labels: Iterable[int] | None,
    out: Path,
    *,
    count: int,
    source: str,
    class_names: Iterable[str] | None = None,
    resolution: int | None = None,
    channels: int | None = None,
    progress: Progress | None = None,
) -> PackedData:
    """Packs arrays [height, width, channels] of uint8 (or float32 in -1..1) that a caller decoded itself.

    count: how many will come; source: where they are from, for meta.json; class_names: needed with labels.
    """
    if (labels is None) != (class_names is None):
        raise ValueError("labels and class_names come together")

    def items() -> Iterator[Item]:
        pairs = zip(images, labels, strict=True) if labels is not None else ((image, None) for image in images)
        for index, (image, label) in enumerate(pairs):
            yield Item(name=str(index), label=label, read=ready(image))

    names = tuple(class_names) if class_names is not None else None
    found = Source(name=source, count=count, items=items, class_names=names)
    return _pack(
        found,
        Path(out),
        resolution=resolution,
        labelled=names is not None,
        channels=channels,
        max_corrupt_share=0.0,
        progress=progress,
    )


def _pack(
    source: Source,
    out: Path,
    *,
    resolution: int | None,
    labelled: bool,
    channels: int | None,
    max_corrupt_share: float,
    progress: Progress | None,
) -> PackedData:
    if channels not in (None, 1, 3):
        raise ValueError(f"channels is {channels}; it is 1 or 3, or left out")
    with _appearing(out) as folder, SampleWriter(folder, channels=channels) as writer:
        labels, skipped = _write(source, writer, resolution, progress or (lambda done, total: None))
        if len(skipped) > max_corrupt_share * source.count or not writer.count:
            raise UnreadableImages(source.name, source.count, skipped)
        writer.finish()
        if labelled:
            np.save(folder / LABELS, np.array(labels, np.int64))
        _write_meta(folder, source, writer, labelled, skipped)
    return open_packed(out)


def _write(
    source: Source, writer: SampleWriter, resolution: int | None, progress: Progress
) -> tuple[list[int], Skipped]:
    labels: list[int] = []
    skipped: Skipped = []
    for done, item in enumerate(source.items(), start=1):
        try:
            picture = item.read()
            writer.append(fit(picture, resolution) if resolution else picture)
            labels.append(-1 if item.label is None else item.label)
        except UnreadableImage as error:
            skipped.append({"name": item.name, "reason": str(error)})
        if done % PROGRESS_EVERY == 0 or done == source.count:
            progress(done, source.count)
    return labels, skipped


def _write_meta(folder: Path, source: Source, writer: SampleWriter, labelled: bool, skipped: Skipped) -> None:
    names = source.class_names if labelled else None
    meta = {
        "version": VERSION,
        "count": writer.count,
        "shape": list(writer.shape),
        "dtype": writer.dtype.name,
        "classes": None if names is None else len(names),
        "class_names": None if names is None else list(names),
        "digest": content_digest(folder, writer.shape, writer.dtype.name, names),
        "source": source.name,
        "skipped": skipped + [{"name": name, "reason": reason} for name, reason in source.ignored],
    }
    partial = folder / f"{META}.partial"
    partial.write_text(json.dumps(meta, indent=1, ensure_ascii=False), "utf-8")
    os.replace(partial, folder / META)


@contextmanager
def _appearing(out: Path) -> Iterator[Path]:
    """A folder beside `out` that takes its name at the end; two packers of the same data do not disturb each other."""
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        yield folder
        _take_name(folder, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _take_name(folder: Path, out: Path) -> None:
    if out.exists() and _is_whole(out) and open_packed(out).digest == open_packed(folder).digest:
        return
    if out.exists():
        out.rename(folder / "replaced")
    folder.chmod(0o755)  # mkdtemp's 0700 would hide a shared cache from other users
    replaced = folder / "replaced"
    if replaced.exists():
        shutil.rmtree(replaced)
    folder.rename(out)


def _is_whole(folder: Path) -> bool:
    try:
        open_packed(folder)
    except DamagedData:
        return False
    return True
