"""The packer: pictures as people have them -> one packed folder. The same pictures give the same bytes."""

import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import tee
from pathlib import Path

import numpy as np

from trainers.data.account import fitted_counts
from trainers.data.classes import Classes, Label, classes_of
from trainers.data.decoding import WORTH, Content, Fitted, fitted_in_order
from trainers.data.fit import WAYS, Way
from trainers.data.packed import LABELS, META, VERSION, DamagedData, PackedData, content_digest, open_packed
from trainers.data.readers.decode import UnreadableImage
from trainers.data.readers.recognise import find_source
from trainers.data.readers.shapes import ProceduralSource
from trainers.data.readers.sources import BadSource, Item, Source, ready
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
    way: Way | None = None,
    kind: str | None = None,
    label: str | None = None,
    roots: Sequence[Path] = (),
    processes: int = 1,
) -> PackedData:
    """Pack `source` into the folder `out`, which appears whole or not at all.

    resolution: of the square pictures; None keeps their size, which must then be one.
    labels: auto (where the source has them), none, required.
    split: train, test or validation, where the source has splits; None means train.
    channels: 1 or 3; None is 3 as soon as one picture has colour.
    max_corrupt_share: 0.01 lets up to 1 % of the pictures be unreadable; they are named in meta.json.
    way: crop, pad or stretch pictures to the resolution; None is the rule of `fit`.
    kind: pictures, parquet, webdataset or idx, where a folder holds several.
    label: name of the column of labels; `folder` where folders are classes though there is such a column.
    roots: folders that links may lead to, beside the source.
    processes: that decode pictures; the same bytes come of any number.
    Raises BadSource for the source as a whole, UnreadableImages naming the pictures.
    """
    if labels not in LABEL_MODES:
        raise ValueError(f"labels is {labels!r}; it is one of {', '.join(LABEL_MODES)}")
    if way is not None and way not in WAYS:
        raise ValueError(f"fit is {way!r}; it is one of {', '.join(WAYS)}")
    found = find_source(source, split, resolution, kind=kind, label=label, roots=roots)
    if labels == "required" and not found.labelled:
        raise BadSource(f"{found.name} has no labels, and labels are required")
    return _pack(
        found,
        Path(out),
        resolution=resolution,
        labelled=labels != "none" and found.labelled,
        channels=channels,
        max_corrupt_share=max_corrupt_share,
        progress=progress,
        way=way,
        processes=processes,
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
    way: Way | None = None,
) -> PackedData:
    """Pack arrays [height, width, channels] of uint8 (or float32 in -1..1) that a caller decoded itself.

    count: how many will come; source: where they are from, for meta.json; class_names: of label 0, 1 …, needed with labels.
    """
    if (labels is None) != (class_names is None):
        raise ValueError("labels and class_names come together")

    def items() -> Iterator[Item]:
        pairs = zip(images, labels, strict=True) if labels is not None else ((image, None) for image in images)
        for index, (image, label) in enumerate(pairs):
            yield Item(name=str(index), label=None if label is None else int(label), read=ready(image))

    told: dict[Label, str] = dict(enumerate(class_names or ()))
    found = Source(name=source, count=count, items=items, labelled=labels is not None, told=told)
    return _pack(
        found,
        Path(out),
        resolution=resolution,
        labelled=found.labelled,
        channels=channels,
        max_corrupt_share=0.0,
        progress=progress,
        way=way,
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
    way: Way | None,
    processes: int = 1,
) -> PackedData:
    if channels not in (None, 1, 3):
        raise ValueError(f"channels is {channels}; it is 1 or 3, or left out")
    with _appearing(out) as folder, SampleWriter(folder, channels=channels) as writer:
        done = _Done(labelled=labelled)
        many = processes if source.encoded and source.count >= WORTH else 1
        decoded = partial(fitted_in_order, resolution=resolution, way=way, processes=many)
        _write(source, writer, done, decoded, progress or (lambda done, total: None))
        if len(done.unreadable) > max_corrupt_share * source.count or not writer.count:
            raise UnreadableImages(source.name, source.count, done.unreadable or done.unlabelled)
        if len(done.unlabelled) > source.count / 2:
            raise BadSource(
                f"{source.name}: {len(done.unlabelled)} of {source.count} pictures have no label, such as "
                f"{done.unlabelled[0]['name']}; `labels: none` trains without labels"
            )
        writer.finish()
        classes = classes_of(done.labels, source.told) if labelled else None
        if classes is not None:
            np.save(folder / LABELS, classes.numbers(done.labels))
        _write_meta(folder, source, writer, classes, done)
    return open_packed(out)


@dataclass(kw_only=True)
class _Done:
    """What became of the items so far."""

    labelled: bool
    labels: list[Label] = field(default_factory=list)  # of those that were used
    unreadable: Skipped = field(default_factory=list)
    unlabelled: Skipped = field(default_factory=list)
    fitted: Counter[str] = field(default_factory=Counter)

    def takes(self, item: Item) -> bool:
        """Return whether a picture is to be read: one without a label, where labels are wanted, is noted and left out."""
        if self.labelled and item.label is None:
            self.unlabelled.append({"name": item.name, "reason": "has no label"})
            return False
        return True


def _write(
    source: Source,
    writer: SampleWriter,
    done: _Done,
    decoded: Callable[[Iterable[Callable[[], Content]]], Iterator[Fitted]],
    progress: Progress,
) -> None:
    wanted, to_read = tee((number, item) for number, item in enumerate(source.items(), start=1) if done.takes(item))
    for (number, item), result in zip(wanted, decoded(item.read for _, item in to_read), strict=True):
        _write_item(item, result, writer, done)
        if number % PROGRESS_EVERY == 0 and number < source.count:
            progress(number, source.count)
    progress(source.count, source.count)


def _write_item(item: Item, result: Fitted, writer: SampleWriter, done: _Done) -> None:
    try:
        if result.picture is None:
            raise UnreadableImage(str(result.problem))
        writer.append(result.picture)
    except UnreadableImage as error:
        done.unreadable.append({"name": item.name, "reason": str(error)})
        return
    done.fitted[result.how] += 1
    if done.labelled and item.label is not None:
        done.labels.append(item.label)


def _write_meta(folder: Path, source: Source, writer: SampleWriter, classes: Classes | None, done: _Done) -> None:
    names = None if classes is None else classes.names
    counts = Counter(done.labels)
    meta = {
        "version": VERSION,
        "count": writer.count,
        "shape": list(writer.shape),
        "dtype": writer.dtype.name,
        "classes": None if names is None else len(names),
        "class_names": None if names is None else list(names),
        "class_labels": None if classes is None else list(classes.labels),
        "class_counts": None if classes is None else [counts[label] for label in classes.labels],
        "digest": content_digest(folder, writer.shape, writer.dtype.name, names),
        "source": source.name,
        "fitted": fitted_counts(done.fitted),
        "skipped": [
            *done.unreadable,
            *done.unlabelled,
            *({"name": name, "reason": reason} for name, reason in source.ignored),
        ],
    }
    partial = folder / f"{META}.partial"
    partial.write_text(json.dumps(meta, indent=1, ensure_ascii=False), "utf-8")
    os.replace(partial, folder / META)


@contextmanager
def _appearing(out: Path) -> Iterator[Path]:
    """Yield a folder beside `out` that takes its name at the end: two packers of the same data do not clash."""
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
