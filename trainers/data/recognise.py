"""Recognises a source by what it is, and hands it to the file that reads its kind."""

from pathlib import Path

from trainers.data import arrays, idx, parquet, pictures, webdataset
from trainers.data.shapes import ProceduralSource
from trainers.data.sources import BadSource, Source, procedural


def find_source(source: Path | ProceduralSource, split: str | None, resolution: int | None) -> Source:
    """Recognises the source by what it is; BadSource names what was found and what is read."""
    if not isinstance(source, Path):
        return procedural(source, resolution)
    if not source.exists():
        raise BadSource(f"no data at {source}")
    if source.suffix == ".npz":
        return arrays.npz_source(source, split)
    if idx.holds_idx(source):
        return idx.idx_source(source, split)
    if _holds(source, ".parquet"):
        return parquet.parquet_source(source, split)
    if _holds(source, ".tar"):
        return webdataset.webdataset_source(source, split)
    if source.is_dir():
        return pictures.folder_source(source, split)
    if source.suffix == ".zip":
        return pictures.zip_source(source, split)
    raise BadSource(
        f"{source} is none of: a folder of pictures, a .zip of one, IDX files, an .npz, Parquet, WebDataset"
    )


def _holds(source: Path, suffix: str) -> bool:
    """Return whether it is such a file, or a folder of them: themselves, or one folder further down."""
    if source.is_file():
        return source.suffix == suffix
    return any(source.glob(f"*{suffix}")) or any(source.glob(f"*/*{suffix}"))
