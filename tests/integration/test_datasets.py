"""Real data sets: found where the design says, held to their sha256, packed once, shared."""

import gzip
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jobs.datasets import BadData, prepare
from jobs.datasets.builtin import FASHION_MNIST
from jobs.specs.spec import Data
from jobs.store import open_store
from tests.support import weed


def quiet(label: str, done: int, total: int | None) -> None:
    pass


@pytest.fixture(autouse=True)
def data_mirror(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANWORKS_DATA_MIRROR", str(mirror))


@pytest.mark.parametrize(
    ("source", "split", "count", "shape", "first"),
    [
        ("fashion-mnist", "train", 60_000, (1, 28, 28), "Ankle boot"),
        ("fashion-mnist", "test", 10_000, (1, 28, 28), "Ankle boot"),
        ("mnist", "train", 60_000, (1, 28, 28), "5"),
        ("cifar-10", "test", 10_000, (3, 32, 32), "cat"),
    ],
)
def test_a_built_in_data_set_is_whole_and_labelled(
    tmp_path: Path, source: str, split: str, count: int, shape: tuple[int, ...], first: str
) -> None:
    data = prepare(Data(source=source, split=split), tmp_path, quiet)
    assert (data.count, data.shape) == (count, shape)
    assert data.labels is not None
    assert data.class_names
    assert data.class_names[data.labels[0]] == first
    assert np.bincount(data.labels).min() >= 800


def test_padding_leaves_the_picture_as_it_is(tmp_path: Path) -> None:
    plain = prepare(Data(source="fashion-mnist", split="test"), tmp_path, quiet)
    padded = prepare(Data(source="fashion-mnist", split="test", resolution=32), tmp_path, quiet)
    assert (padded.samples[:50, :, 2:30, 2:30] == plain.samples[:50]).all()
    assert padded.samples[:50, :, :2].max() == 0


def test_packed_once_and_then_only_opened(tmp_path: Path) -> None:
    reports: list[str] = []
    wanted = Data(source="shapes", resolution=16)
    threads = [
        threading.Thread(target=prepare, args=(wanted, tmp_path, lambda label, done, total: reports.append(label)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    folders = [path for path in (tmp_path / "packed").iterdir() if path.is_dir()]
    assert len(folders) == 1
    assert reports.count("packing shapes") == 20  # one packer's reports, every 500 of 10,000


def test_a_file_of_another_content_is_refused_and_where_was_looked_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "mirror" / "mnist"
    fake.mkdir(parents=True)
    (fake / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"not pictures"))
    monkeypatch.setenv("GANWORKS_DATA_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setattr("jobs.datasets.find.download", lambda url, report: (None, "cannot be reached (ConnectError)"))
    with pytest.raises(
        BadData, match=r"(?s)mnist.*GANWORKS_DATA_MIRROR.*another content \(sha256 differs\).*cannot be reached"
    ):
        prepare(Data(source="mnist"), tmp_path / "home", quiet)


def test_a_plain_file_in_the_mirror_is_as_good_as_a_gzipped_one(
    tmp_path: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mirror"
    folder.mkdir()
    for file in FASHION_MNIST.splits["test"]:
        places = [Path(place) / file.name for place in (*FASHION_MNIST.installed, mirror / "fashion-mnist")]
        found = next(place for place in places if place.exists())
        (folder / file.name.removesuffix(".gz")).write_bytes(gzip.decompress(found.read_bytes()))
    monkeypatch.setenv("GANWORKS_DATA_MIRROR", str(folder))
    assert prepare(Data(source="fashion-mnist", split="test"), tmp_path / "home", quiet).count == 10_000


def test_pictures_in_the_bucket(tmp_path: Path, s3_server: weed.S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3_server.env.items():
        monkeypatch.setenv(name, value)
    store = open_store(f"s3://{weed.BUCKET}")
    for number in range(6):
        path = tmp_path / "picture.png"
        Image.new("RGB", (16, 16), (number * 40, 0, 0)).save(path)
        store.put_file(f"pictures/{number % 2}/{number}.png", path)
    data = prepare(Data(source=f"s3://{weed.BUCKET}/pictures"), tmp_path / "home", quiet)
    assert (data.count, data.class_names) == (6, ("0", "1"))
    with pytest.raises(BadData, match="nothing is there"):
        prepare(Data(source=f"s3://{weed.BUCKET}/nowhere"), tmp_path / "home", quiet)


def test_a_changed_folder_is_packed_again(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("L", (8, 8), 1).save(folder / "a.png")
    assert prepare(Data(source=str(folder)), tmp_path / "home", quiet).count == 1
    Image.new("L", (8, 8), 2).save(folder / "b.png")
    assert prepare(Data(source=str(folder)), tmp_path / "home", quiet).count == 2


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (Data(source="fashion-mnits"), "did you mean 'fashion-mnist'"),
        (Data(source="fashion-mnist", split="tset"), "did you mean 'test'"),
        (Data(source="./nowhere"), "no such file or folder"),
    ],
)
def test_a_wrong_source_is_told(tmp_path: Path, data: Data, said: str) -> None:
    with pytest.raises(BadData, match=said):
        prepare(data, tmp_path, quiet)
