"""Real data sets: found where the design says, held to their sha256, packed once, shared."""

import gzip
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jobs import locks
from jobs.datasets import BadData, prepare
from jobs.datasets.builtin import FASHION_MNIST
from jobs.specs.spec import Data
from jobs.store import open_store
from tests.support import sources, weed
from trainers.data.packed import PackedData


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


def grey(value: int) -> bytes:
    return sources.png(value)


def first_pixels(data: PackedData) -> list[int]:
    return data.samples[:, 0, 0, 0].tolist()


def test_pictures_in_the_bucket(tmp_path: Path, s3_server: weed.S3Server) -> None:
    """With the credentials of the job's claim: the process itself has none."""
    store, source = open_store(f"s3://{weed.BUCKET}", env=s3_server.env), f"s3://{weed.BUCKET}/pictures"
    for number in range(6):
        store.put(f"pictures/{number % 2}/{number}.png", grey(number))
    s3_server.client.put_object(Bucket=weed.BUCKET, Key="pictures/0/", Body=b"")  # as consoles make folders
    data = prepare(Data(source=source), tmp_path / "home", quiet, s3_server.env)
    assert (data.count, data.class_names) == (6, ("0", "1"))
    one = prepare(Data(source=f"{source}/1/3.png"), tmp_path / "home", quiet, s3_server.env)
    assert first_pixels(one) == [3]
    with pytest.raises(BadData, match="nothing is there"):
        prepare(Data(source=f"s3://{weed.BUCKET}/nowhere"), tmp_path / "home", quiet, s3_server.env)


def test_a_bucket_alone_is_a_source(tmp_path: Path, s3_server: weed.S3Server) -> None:
    s3_server.client.create_bucket(Bucket="alone")
    store = open_store("s3://alone", env=s3_server.env)
    for number in range(3):
        store.put(f"{number}.png", grey(number))
    assert first_pixels(prepare(Data(source="s3://alone"), tmp_path, quiet, s3_server.env)) == [0, 1, 2]


def test_a_source_in_the_bucket_is_packed_as_it_is_today(tmp_path: Path, s3_server: weed.S3Server) -> None:
    store, data = open_store(f"s3://{weed.BUCKET}", env=s3_server.env), Data(source=f"s3://{weed.BUCKET}/nightly")

    def packed() -> list[int]:
        return first_pixels(prepare(data, tmp_path, quiet, s3_server.env))

    for number in (1, 2, 3):
        store.put(f"nightly/{number}.png", grey(number))
    assert packed() == [1, 2, 3]
    store.put("nightly/4.png", grey(4))
    assert packed() == [1, 2, 3, 4]
    store.put("nightly/2.png", grey(9))  # as large as before, perhaps in the same second
    assert packed() == [1, 9, 3, 4]
    store.delete("nightly/3.png")
    assert packed() == [1, 9, 4]


def test_local_copies_are_pruned_by_size(
    tmp_path: Path, s3_server: weed.S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(f"s3://{weed.BUCKET}", env=s3_server.env)
    for name in ("one", "two", "three"):
        store.put(f"{name}/1.png", grey(1))
    size = len(grey(1))
    monkeypatch.setenv("GANWORKS_DATA_CACHE", f"{2 * size}B")
    for name in ("one", "two", "three"):
        prepare(Data(source=f"s3://{weed.BUCKET}/{name}"), tmp_path, quiet, s3_server.env)
    kept = list((tmp_path / "sources" / "s3").rglob("*.png"))
    assert len(kept) == 2


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


def test_what_an_interrupted_packer_left_goes_at_the_next_start(tmp_path: Path) -> None:
    packed = tmp_path / "data" / "packed"
    for name in (".0123abcd-x1y2", ".4567-held"):
        (packed / name).mkdir(parents=True)
        (packed / name / "samples.npy").write_bytes(b"half")
    with locks.held(packed / "4567.lock"):  # somebody packs this one now
        prepare(Data(source="ring"), tmp_path / "data", quiet)
    assert [path.name for path in packed.glob(".*")] == [".4567-held"]
    assert prepare(Data(source="ring"), tmp_path / "data", quiet).count
    assert list(packed.glob(".*")) == []
