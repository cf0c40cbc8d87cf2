"""Formats beside the usual: mapped .npz, folders of .npy, compressed tars, phones' pictures."""

import gzip
import io
import tarfile
import tracemalloc
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from trainers.data.fit import fit
from trainers.data.pack import UnreadableImages, pack
from trainers.data.packed import PackedData
from trainers.data.readers import arrays
from trainers.data.readers import decode as decoding
from trainers.data.readers.decode import HEIC, UnreadableImage, decode
from trainers.data.readers.sources import BadSource

RANDOM = np.random.default_rng(5)


def pictures(count: int, size: int = 12, channels: int = 3) -> np.ndarray:
    return RANDOM.integers(0, 256, (count, size, size, channels), dtype=np.uint8)


def same(packed: PackedData, expected: np.ndarray) -> None:
    assert np.array_equal(packed.samples.transpose(0, 2, 3, 1), expected)


def test_a_large_npz_is_mapped_and_not_read(tmp_path: Path) -> None:
    images = pictures(2000, size=32)
    np.savez(tmp_path / "x.npz", images=images, labels=np.arange(2000) % 3)
    tracemalloc.start()
    packed = pack(tmp_path / "x.npz", tmp_path / "out", resolution=None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < images.nbytes / 2
    same(packed, images)
    assert packed.labels is not None
    assert list(packed.labels[:4]) == [0, 1, 2, 0]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_mapped_or_compressed_the_pictures_are_the_same(tmp_path: Path, order: str, save: object) -> None:
    images = pictures(9)
    save(tmp_path / "x.npz", x=np.asarray(images, order=order))  # type: ignore[operator]
    same(pack(tmp_path / "x.npz", tmp_path / "out", resolution=None), images)


def test_floats_are_converted_one_by_one_by_the_range_of_all(tmp_path: Path) -> None:
    """A picture in 0..1 among pictures in -1..1 is of the same range as they are."""
    images = RANDOM.uniform(-1, 1, (5, 8, 8, 1))
    images[2] = np.abs(images[2])
    np.savez(tmp_path / "x.npz", images=images)
    packed = pack(tmp_path / "x.npz", tmp_path / "out", resolution=None)
    assert np.allclose(packed.samples.transpose(0, 2, 3, 1), images.astype(np.float32))


def test_the_range_is_found_whichever_block_it_is_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "AT_ONCE", 2)
    images = np.full((7, 4, 4, 1), 0.5)
    images[5, 0, 0] = -0.25
    assert arrays._range(images) == (-0.25, 0.5)
    images[1, 0, 0] = np.inf
    assert arrays._range(images) == (-0.25, 0.5)
    assert arrays._range(np.full((2, 4, 4, 1), np.nan)) == (0.0, 0.0)


def test_python_objects_in_an_npz_are_refused_mapped_or_not(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", images=np.array([{"a": 1}], dtype=object))
    with pytest.raises(BadSource, match="holds Python objects, which are not read"):
        pack(tmp_path / "x.npz", tmp_path / "out", resolution=None)


def folder_of_arrays(place: Path, stacked: np.ndarray) -> Path:
    for number, array in enumerate(stacked):
        path = place / ("a" if number % 2 else "b") / f"{number}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, array)
    return place


def test_a_folder_of_npy_is_one_of_pictures_with_classes(tmp_path: Path) -> None:
    images = pictures(6)
    packed = pack(folder_of_arrays(tmp_path / "arrays", images), tmp_path / "out", resolution=None)
    assert packed.class_names == ("a", "b")
    same(packed, np.concatenate([images[1::2], images[0::2]]))


def test_arrays_beside_pictures_are_none(tmp_path: Path) -> None:
    """They hold labels, or what somebody has computed."""
    images = pictures(2)
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    np.save(tmp_path / "mean.npy", images.mean(axis=0))
    packed = pack(tmp_path, tmp_path / "out", resolution=None)
    same(packed, images)
    assert [(each.count, each.reason) for each in packed.account.left_out] == [(1, "not a picture (.npy)")]


def test_grey_and_16_bit_arrays_are_read(tmp_path: Path) -> None:
    deep = RANDOM.integers(0, 65536, (3, 8, 8), dtype=np.uint16)
    packed = pack(folder_of_arrays(tmp_path / "arrays", deep), tmp_path / "out", resolution=None, labels="none")
    assert packed.samples.shape == (3, 1, 8, 8)
    assert int(np.abs(packed.samples[0, 0].astype(int) - (deep[1] / 257).round()).max()) <= 1


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((4, 4, 7), np.uint8), r"is an array of shape \(4, 4, 7\); wanted \[height, width\]"),
        (np.zeros((4,), np.uint8), r"is an array of shape \(4,\)"),
        (np.zeros((4, 4, 3), np.float32), "has float32 pixels; of single arrays uint8 and uint16 are read"),
    ],
)
def test_an_array_that_is_no_picture_is_named(tmp_path: Path, array: np.ndarray, reason: str) -> None:
    (tmp_path / "arrays").mkdir()
    np.save(tmp_path / "arrays" / "odd.npy", array)
    with pytest.raises(UnreadableImages, match=rf"odd\.npy: {reason}"):
        pack(tmp_path / "arrays", tmp_path / "out", resolution=None)


def test_a_pickle_in_the_clothes_of_an_array_is_not_run() -> None:
    out = io.BytesIO()
    np.save(out, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(UnreadableImage, match="allow_pickle"):
        decode(out.getvalue())


def tar_of(path: Path, images: np.ndarray, mode: str) -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for number, image in enumerate(images):
            for extension, content in ((".png", _png(image)), (".cls", str(number % 2).encode())):
                member = tarfile.TarInfo(f"{number:03d}{extension}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return path


def _png(image: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(("name", "mode"), [("x.tar", "w"), ("x.tar.gz", "w:gz"), ("X.TGZ", "w:gz")])
def test_a_tar_may_be_compressed(tmp_path: Path, name: str, mode: str) -> None:
    images = pictures(5)
    packed = pack(tar_of(tmp_path / name, images, mode), tmp_path / "out", resolution=None)
    same(packed, images)
    assert packed.labels is not None
    assert list(packed.labels) == [0, 1, 0, 1, 0]


def test_a_compressed_tar_that_is_cut_off_is_damaged(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "x.tar.gz", pictures(20), "w:gz")
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(BadSource, match=r"x\.tar\.gz is a damaged tar"):
        pack(path, tmp_path / "out", resolution=None)


def test_a_compressed_tar_that_is_a_bomb_is_refused_before_it_unpacks(tmp_path: Path) -> None:
    path = tmp_path / "x.tar.gz"
    member = tarfile.TarInfo("0.png")
    member.size = 200 << 20
    with gzip.open(path, "wb") as out:
        out.write(member.tobuf())
        out.write(bytes(1 << 20))
    with pytest.raises(BadSource, match=r"'0\.png' unpacks to 209715200 bytes; that is no picture"):
        pack(path, tmp_path / "out", resolution=None)


def test_phones_pictures_are_read_where_the_library_is_there(tmp_path: Path) -> None:
    smooth = np.tile(np.linspace(0, 255, 64, dtype=np.uint8)[:, None, None], (1, 64, 3))
    pillow_heif.from_pillow(Image.fromarray(smooth)).save(tmp_path / "phone.heic", quality=95)
    found = decode((tmp_path / "phone.heic").read_bytes())
    assert np.abs(fit(found, 16).astype(int) - fit(smooth, 16).astype(int)).max() <= 6


@pytest.mark.parametrize("brand", HEIC)
def test_without_it_the_way_to_it_is_told(brand: bytes) -> None:
    """What is said of a file that nothing here opens."""
    told = decoding._what_it_is(b"\0\0\0\x18ftyp" + brand + bytes(40))
    assert told == "is a HEIC picture; `pip install pillow-heif` where it is packed, or save it as JPEG or PNG"
