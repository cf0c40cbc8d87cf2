"""Recognises a source by what it is, and hands it to the file that reads its kind."""

from collections.abc import Callable, Sequence
from pathlib import Path

from trainers.data.readers import arrays, idx, parquet, pictures, webdataset
from trainers.data.readers.shapes import ProceduralSource
from trainers.data.readers.sources import BadSource, Source, procedural
from trainers.data.readers.tables import is_metadata
from trainers.data.readers.walk import Found, walk

KINDS: dict[str, Callable[[Found], bool]] = {  # what a folder may be of
    "pictures": lambda found: found.name.suffix.lower() in pictures.PICTURES,
    "parquet": lambda found: found.name.suffix.lower() == ".parquet",
    "webdataset": lambda found: found.name.name.lower().endswith(webdataset.TARS),
    "idx": lambda found: len(found.name.parts) == 1 and bool(idx.NAME.match(found.name.name)),
}


def find_source(
    source: Path | ProceduralSource,
    split: str | None,
    resolution: int | None,
    *,
    kind: str | None = None,
    label: str | None = None,
    roots: Sequence[Path] = (),
) -> Source:
    """Recognise the source by what it is; BadSource names what was found and what is read."""
    if not isinstance(source, Path):
        return procedural(source, resolution)
    if not source.exists():
        raise BadSource(f"no data at {source}")
    suffix = source.suffix.lower()
    if source.is_file() and suffix == ".npz":
        return arrays.npz_source(source, split)
    if source.is_file() and suffix == ".npy":
        return arrays.npy_source(source)
    if source.is_file() and suffix == ".zip":
        return pictures.zip_source(source, split, label)
    if source.is_file() and idx.holds_idx(source):
        return idx.idx_source(source, split)
    found = walk(source, roots)
    match _kind(source, found, kind):
        case "idx":
            return idx.idx_source(source, split)
        case "parquet":
            return parquet.parquet_source(source, _of_kind("parquet", found), split, label)
        case "webdataset":
            return webdataset.webdataset_source(source, _of_kind("webdataset", found), split)
        case found_kind if found_kind == "pictures" or source.is_dir():
            return pictures.folder_source(source, found, split, label)
    raise BadSource(
        f"{source} is none of: a folder of pictures, a .zip of one, IDX files, an .npz or .npy, Parquet, WebDataset or other tars"
    )


def _of_kind(kind: str, found: Sequence[Found]) -> list[Found]:
    return [each for each in found if KINDS[kind](each)]


def _kind(source: Path, found: Sequence[Found], asked: str | None) -> str | None:
    """Return what the files are of; BadSource where they are of two kinds, and none was asked for."""
    there = {kind: of for kind in KINDS if (of := _of_kind(kind, found))}
    if "pictures" in there and all(is_metadata(each.name) for each in there.get("parquet", ())):
        there.pop("parquet", None)  # the labels of Hugging Face's imagefolder
    if asked is not None:
        if asked not in there:
            raise BadSource(
                f"{source}: format is {asked}, and there is none of it; it holds {_told(there) or 'nothing'}"
            )
        return asked
    if len(there) > 1:
        raise BadSource(
            f"{source} holds {_told(there)}; data.format says which is the data: "
            f"{' or '.join(f'`format: {kind}`' for kind in there)}"
        )
    return next(iter(there), None)


def _told(there: dict[str, list[Found]]) -> str:
    nouns = {"pictures": "pictures", "parquet": "Parquet", "webdataset": "tars", "idx": "IDX files"}
    return " and ".join(f"{nouns[kind]} ({len(of)}, such as {of[0].name})" for kind, of in there.items())
