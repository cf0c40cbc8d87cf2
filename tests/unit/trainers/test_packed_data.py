import gzip
import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainers.data.fit import fit
from trainers.data.pack import pack, pack_arrays
from trainers.data.packed import DamagedData, PackedData, open_packed, verify
from trainers.data.readers.shapes import CLASS_NAMES, Shapes
from trainers.data.readers.sources import BadSource


def files_of(data: PackedData) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(data.folder.iterdir())}


class TestShapes:
    def test_a_picture_depends_on_its_index_alone(self):
        few, many = Shapes(count=3), Shapes(count=100)
        assert np.array_equal(few.picture(2, 16)[0], many.picture(2, 16)[0])
        assert not np.array_equal(many.picture(2, 16)[0], many.picture(3, 16)[0])
        assert not np.array_equal(many.picture(2, 16)[0], Shapes(seed=1).picture(2, 16)[0])

    def test_packing_it_twice_gives_the_same_bytes(self, tmp_path: Path):
        one, other = (pack(Shapes(count=50), tmp_path / name, resolution=16) for name in "ab")
        assert files_of(one) == files_of(other)
        assert (one.count, one.shape, one.class_names) == (50, (3, 16, 16), CLASS_NAMES)
        assert set(np.unique(one.labels)) == set(range(5))

    def test_every_figure_stands_out_from_its_ground(self):
        for index in range(30):
            picture, _ = Shapes().picture(index, 32)
            assert picture.max() >= 100
            assert (picture.max(axis=2) < 60).mean() > 0.3


class TestFit:
    def test_a_little_smaller_is_padded_and_keeps_every_pixel(self):
        picture = np.random.default_rng(0).integers(1, 255, (28, 28, 1), np.uint8)
        fitted = fit(picture, 32)
        assert np.array_equal(fitted[2:30, 2:30], picture)
        assert fitted.sum() == picture.sum()

    def test_larger_is_cropped_to_its_centre_and_resampled(self):
        picture = np.zeros((40, 80, 3), np.uint8)
        picture[:, 20:60] = 200
        assert (fit(picture, 16) == 200).all()

    def test_much_smaller_is_enlarged(self):
        assert fit(np.full((8, 8, 1), 9, np.uint8), 32).tolist() == np.full((32, 32, 1), 9).tolist()

    def test_floats_are_padded_with_black(self):
        fitted = fit(np.zeros((28, 28, 1), np.float32), 32)
        assert fitted.dtype == np.float32
        assert fitted.min() == -1


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


PICTURES = np.arange(3 * 4 * 4, dtype=np.uint8).reshape(3, 4, 4)
LABELS = np.array([2, 0, 1], np.uint8)


class TestIdx:
    @pytest.fixture(params=[".gz", ""])
    def source(self, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
        folder = tmp_path / "mnist"
        folder.mkdir()
        for split, shift in (("train", 0), ("t10k", 100)):
            for what, array in (("images-idx3", PICTURES + shift), ("labels-idx1", LABELS)):
                content = idx(array.astype(np.uint8))
                name = f"{split}-{what}-ubyte{request.param}"
                (folder / name).write_bytes(gzip.compress(content) if request.param else content)
        return folder

    @pytest.mark.parametrize(("split", "shift"), [(None, 0), ("train", 0), ("test", 100)])
    def test_a_folder(self, source: Path, tmp_path: Path, split: str | None, shift: int):
        data = pack(source, tmp_path / "out", resolution=None, split=split)
        assert np.array_equal(data.samples[:, 0], PICTURES + shift)
        assert data.labels is not None
        assert data.labels.tolist() == [2, 0, 1]
        assert data.class_names == ("0", "1", "2")

    def test_a_file(self, source: Path, tmp_path: Path):
        file = next(source.glob("t10k-images*"))
        assert np.array_equal(pack(file, tmp_path / "out", resolution=None).samples[:, 0], PICTURES + 100)

    def test_an_unknown_split_is_named_with_the_choices(self, source: Path, tmp_path: Path):
        with pytest.raises(BadSource, match="no split 'validation'; it has test, train"):
            pack(source, tmp_path / "out", resolution=None, split="validation")

    def test_a_cut_file_is_refused(self, source: Path, tmp_path: Path):
        file = next(source.glob("train-images*"))
        os.truncate(file, file.stat().st_size - 9)
        with pytest.raises(BadSource, match=file.name):
            pack(source, tmp_path / "out", resolution=None)

    def test_labels_that_do_not_fit_are_refused(self, source: Path, tmp_path: Path):
        next(source.glob("train-labels*")).write_bytes(idx(LABELS[:2]))
        with pytest.raises(BadSource, match="labels for 3 pictures"):
            pack(source, tmp_path / "out", resolution=None)


class TestNpz:
    def packed(self, tmp_path: Path, resolution: int | None = None, split: str | None = None, **arrays) -> PackedData:
        np.savez(tmp_path / "x.npz", **arrays)
        return pack(tmp_path / "x.npz", tmp_path / "out", resolution=resolution, split=split)

    @pytest.mark.parametrize("axes", ["nhw", "nhwc", "nchw"])
    def test_axes(self, tmp_path: Path, axes: str):
        images = {"nhw": PICTURES, "nhwc": PICTURES[..., None], "nchw": PICTURES[:, None]}[axes]
        assert np.array_equal(self.packed(tmp_path, images=images).samples, PICTURES[:, None])

    def test_labels(self, tmp_path: Path):
        data = self.packed(tmp_path, x_train=PICTURES, y_train=LABELS, x_test=PICTURES[:1], y_test=LABELS[:1])
        assert data.labels is not None
        assert data.labels.tolist() == [2, 0, 1]

    def test_split(self, tmp_path: Path):
        assert self.packed(tmp_path, split="test", x_train=PICTURES, x_test=PICTURES[:1]).count == 1

    def test_sixteen_bits_are_scaled(self, tmp_path: Path):
        data = self.packed(tmp_path, images=np.full((1, 2, 2), 65535, np.uint16))
        assert (data.samples == 255).all()

    @pytest.mark.parametrize(("value", "expected"), [(0.25, -0.5), (-0.25, -0.25)])
    def test_floats_stay_floats_between_minus_one_and_one(self, tmp_path: Path, value: float, expected: float):
        data = self.packed(tmp_path, images=np.full((1, 2, 2), value))
        assert data.dtype == "float32"
        assert (data.samples == expected).all()

    def test_alpha_is_laid_on_white(self, tmp_path: Path):
        data = self.packed(tmp_path, images=np.zeros((1, 2, 2, 4), np.uint8))
        assert data.shape == (3, 2, 2)
        assert (data.samples == 255).all()

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({"images": np.full((1, 2, 2), 1e6)}, "pixels in 1e"),
            ({"images": np.zeros((1, 5, 5, 7), np.uint8)}, "no axis of 1, 3 or 4"),
            ({"other": PICTURES}, "holds other; pictures are looked for as"),
            ({"images": PICTURES, "labels": LABELS[:2]}, "wanted 3 integers"),
        ],
    )
    def test_what_is_not_understood_is_refused(self, tmp_path: Path, arrays: dict, message: str):
        with pytest.raises(BadSource, match=message):
            self.packed(tmp_path, **arrays)

    def test_pickles_are_refused(self, tmp_path: Path):
        with pytest.raises(ValueError, match="allow_pickle"):
            self.packed(tmp_path, images=np.array([object()]))


def test_arrays_of_a_caller(tmp_path: Path):
    data = pack_arrays(
        (picture[:, :, None] for picture in PICTURES),
        LABELS,
        tmp_path / "out",
        count=3,
        source="mine",
        class_names=["a", "b", "c"],
    )
    assert np.array_equal(data.samples[:, 0], PICTURES)
    assert data.class_names == ("a", "b", "c")


def test_no_source_is_named(tmp_path: Path):
    with pytest.raises(BadSource, match="no data at"):
        pack(tmp_path / "nothing", tmp_path / "out", resolution=None)
    (tmp_path / "x.csv").touch()
    with pytest.raises(BadSource, match="none of: a folder of pictures"):
        pack(tmp_path / "x.csv", tmp_path / "out", resolution=None)


def test_the_same_pictures_from_elsewhere_have_the_same_digest(tmp_path: Path):
    np.savez(tmp_path / "x.npz", images=PICTURES)
    (tmp_path / "pictures").mkdir()
    for index, picture in enumerate(PICTURES):
        Image.fromarray(picture).save(tmp_path / "pictures" / f"{index}.png")
    one = pack(tmp_path / "x.npz", tmp_path / "1", resolution=None)
    other = pack(tmp_path / "pictures", tmp_path / "2", resolution=None)
    assert one.digest == other.digest


def test_packing_over_what_is_there(tmp_path: Path):
    one = pack(Shapes(count=5), tmp_path / "out", resolution=16)
    again = pack(Shapes(count=5), tmp_path / "out", resolution=16)
    other = pack(Shapes(count=6), tmp_path / "out", resolution=16)
    assert one.digest == again.digest != other.digest
    assert open_packed(tmp_path / "out").count == 6
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "meta.json").unlink(), "written last"),
        (lambda folder: (folder / "meta.json").write_text("{"), "not JSON"),
        (lambda folder: (folder / "meta.json").write_text('{"version": 1}'), "lacks"),
        (lambda folder: (folder / "samples.npy").unlink(), "samples.npy is missing"),
        (lambda folder: os.truncate(folder / "samples.npy", 1000), "samples.npy"),
        (lambda folder: (folder / "labels.npy").unlink(), "labels.npy is missing"),
        (lambda folder: np.save(folder / "labels.npy", np.zeros(3, np.int64)), "labels.npy is int64"),
    ],
)
def test_a_damaged_folder_is_named(tmp_path: Path, damage, message: str):
    data = pack(Shapes(count=10), tmp_path / "out", resolution=16)
    damage(data.folder)
    with pytest.raises(DamagedData, match=message):
        open_packed(data.folder)


def test_a_flipped_pixel_is_found_by_verify(tmp_path: Path):
    data = pack(Shapes(count=10), tmp_path / "out", resolution=16)
    verify(data)
    content = bytearray((data.folder / "samples.npy").read_bytes())
    content[-1] ^= 1
    (data.folder / "samples.npy").write_bytes(content)
    with pytest.raises(DamagedData, match=r"meta\.json says"):
        verify(open_packed(data.folder))


def test_meta_says_where_it_is_from(tmp_path: Path):
    data = pack(Shapes(count=2), tmp_path / "out", resolution=16)
    meta = json.loads((data.folder / "meta.json").read_text())
    assert (meta["source"], meta["skipped"], meta["dtype"]) == ("shapes", [], "uint8")
