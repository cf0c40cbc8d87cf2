"""Data sets as the libraries that people use write them: Parquet by `datasets`, tars by `webdataset`."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from trainers.data.pack import UnreadableImages, pack
from trainers.data.readers.sources import BadSource

CLASSES = ("ankle boot", "bag", "coat")

pytestmark = pytest.mark.filterwarnings("ignore")  # of those libraries


def picture(number: int) -> Image.Image:
    return Image.fromarray(np.full((8, 8, 3), (number, 0, 255 - number), np.uint8))


def png(number: int) -> bytes:
    file = io.BytesIO()
    picture(number).save(file, "PNG")
    return file.getvalue()


def test_parquet_of_hugging_face(tmp_path: Path) -> None:
    import datasets

    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=list(CLASSES)))
    for split, numbers in {"train": range(300), "test": range(300, 310)}.items():
        rows = {"image": [picture(n % 256) for n in numbers], "label": [n % 3 for n in numbers]}
        path = tmp_path / "data" / f"{split}-00000-of-00001.parquet"
        path.parent.mkdir(exist_ok=True)
        datasets.Dataset.from_dict(rows, features=features).to_parquet(path)
    data = pack(tmp_path, tmp_path / "packed", resolution=None)
    assert (data.count, data.shape, data.class_names) == (300, (3, 8, 8), CLASSES)
    assert data.samples[:, 0, 0, 0].tolist() == [n % 256 for n in range(300)]
    assert data.labels is not None
    assert data.labels.tolist() == [n % 3 for n in range(300)]
    assert pack(tmp_path, tmp_path / "test", resolution=None, split="test").count == 10
    with pytest.raises(BadSource, match=r"no split 'validation'; it has test, train"):
        pack(tmp_path, tmp_path / "other", resolution=None, split="validation")


def test_parquet_of_bytes_with_words_for_labels(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [png(1), png(2)], "label": ["shoe", "bag"]}), tmp_path / "x.parquet")
    data = pack(tmp_path / "x.parquet", tmp_path / "packed", resolution=None)
    assert (data.class_names, data.labels.tolist()) == (("bag", "shoe"), [1, 0])  # type: ignore[union-attr]


def test_a_row_without_a_picture_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [png(1), None, b"no"]}), tmp_path / "x.parquet")
    with pytest.raises(UnreadableImages, match=r"(?s)row 1: has no bytes.*row 2: "):
        pack(tmp_path, tmp_path / "packed", resolution=None)


def test_parquet_without_pictures_names_its_columns(tmp_path: Path) -> None:
    pq.write_table(pa.table({"age": [1]}), tmp_path / "x.parquet")
    with pytest.raises(BadSource, match=r"has the columns age \(int64\)"):
        pack(tmp_path, tmp_path / "packed", resolution=None)
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(BadSource, match="damaged Parquet"):
        pack(tmp_path, tmp_path / "packed", resolution=None)


def test_tars_of_webdataset(tmp_path: Path) -> None:
    import webdataset

    for shard in range(2):
        with webdataset.TarWriter(str(tmp_path / f"train-{shard:05d}.tar")) as tar:
            for n in range(shard * 20, shard * 20 + 20):
                tar.write({"__key__": f"{n:06d}", "png": picture(n), "cls": n % 3, "json": {"index": n}})
    data = pack(tmp_path, tmp_path / "packed", resolution=None)
    assert (data.count, data.shape, data.class_names) == (40, (3, 8, 8), ("0", "1", "2"))
    assert data.samples[:, 0, 0, 0].tolist() == list(range(40))
    assert data.labels.tolist() == [n % 3 for n in range(40)]  # type: ignore[union-attr]


def tar_of(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a.png": b"\x89PNG", "a.cls": b"cat"}, "a.cls holds b'cat'; wanted a number"),
        ({"a.png": b"", "b.png": b"", "a.cls": b"1"}, "1 of 2 samples have a .cls"),
        ({"a.txt": b"words"}, "no pictures"),
    ],
)
def test_tars_that_cannot_be_used(tmp_path: Path, files: dict[str, bytes], said: str) -> None:
    tar_of(tmp_path / "x.tar", files)
    with pytest.raises(BadSource, match=said):
        pack(tmp_path / "x.tar", tmp_path / "packed", resolution=None)


def test_a_torn_tar_is_told(tmp_path: Path) -> None:
    tar_of(tmp_path / "x.tar", {f"{n}.png": png(n) for n in range(9)})
    (tmp_path / "x.tar").write_bytes((tmp_path / "x.tar").read_bytes()[:1300])
    with pytest.raises(BadSource, match="damaged tar"):
        pack(tmp_path, tmp_path / "packed", resolution=None)
