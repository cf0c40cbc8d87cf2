"""Classes, kinds of folders, labels and links as people have them: taken right, told, or refused by name."""

import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import sources
from tests.support.sources import png
from trainers.data.order import BalancedOrder
from trainers.data.pack import UnreadableImages, pack
from trainers.data.packed import PackedData
from trainers.data.readers.sources import BadSource


def packed(source: Path, tmp_path: Path, **options: Any) -> PackedData:
    return pack(source, tmp_path / "packed", resolution=8, **options)


def names_of(data: PackedData) -> list[str]:
    assert data.labels is not None
    assert data.class_names is not None
    return [data.class_names[label] for label in data.labels]


class TestClassesAreThoseThatOccur:
    @pytest.mark.parametrize("labels", [[1, 2, 7], [7, 1, 2, 2]])
    @pytest.mark.parametrize("kind", ["npz", "idx", "parquet", "webdataset"])
    def test_gaps_are_no_classes(self, tmp_path: Path, kind: str, labels: list[int]):
        source = {
            "npz": lambda: sources.npz(tmp_path / "x.npz", labels),
            "idx": lambda: sources.idx(tmp_path / "idx", labels),
            "parquet": lambda: sources.parquet(tmp_path / "x.parquet", image=[png()] * len(labels), label=labels),
            "webdataset": lambda: sources.shards(tmp_path / "x.tar", labels),
        }[kind]()
        data = packed(source, tmp_path)
        assert (data.classes, data.class_names, data.class_labels) == (3, ("1", "2", "7"), (1, 2, 7))
        assert names_of(data) == list(map(str, labels))
        assert data.labels is not None
        shown = data.labels[BalancedOrder(data.labels, seed=0).indices(range(30))]
        assert np.bincount(shown).tolist() == [10, 10, 10]

    @pytest.mark.parametrize("label", [4_000_000_000, 20_240_101])
    @pytest.mark.parametrize("kind", ["npz", "parquet", "webdataset"])
    def test_a_huge_label_costs_no_memory(self, tmp_path: Path, kind: str, label: int):
        source = {
            "npz": lambda: sources.npz(tmp_path / "x.npz", [label, 3]),
            "parquet": lambda: sources.parquet(tmp_path / "x.parquet", image=[png()] * 2, label=[label, 3]),
            "webdataset": lambda: sources.shards(tmp_path / "x.tar", [label, 3]),
        }[kind]()
        assert packed(source, tmp_path).class_labels == (3, label)

    def test_a_class_of_which_no_picture_could_be_used_is_none(self, tmp_path: Path):
        files = {"a/1.png": png(), "b/1.png": b"no", "c/1.png": png()}
        data = packed(sources.folder(tmp_path / "x", files), tmp_path, max_corrupt_share=0.5)
        assert (data.class_names, names_of(data)) == (("a", "c"), ["a", "c"])

    def test_names_that_hugging_face_tells_stay_with_their_labels(self, tmp_path: Path):
        import pyarrow as pa
        import pyarrow.parquet as pq

        told = {"info": {"features": {"label": {"names": ["ant", "bee", "cat", "dog"]}}}}
        table = pa.table({"image": [png(), png()], "label": [3, 1]})
        pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(told)}), tmp_path / "x.parquet")
        data = packed(tmp_path / "x.parquet", tmp_path)
        assert (data.class_names, data.class_labels, names_of(data)) == (("bee", "dog"), (1, 3), ["dog", "bee"])

    @pytest.mark.parametrize("count", [1, 2])
    def test_one_class_and_one_or_two_pictures(self, tmp_path: Path, count: int):
        data = packed(sources.npz(tmp_path / "x.npz", [5] * count), tmp_path)
        assert (data.count, data.class_names) == (count, ("5",))


class TestWhatAFolderIs:
    @pytest.mark.parametrize(
        ("other", "noun", "kind"),
        [
            ("old-backup.tar", "tars", "webdataset"),
            ("sub/old.TAR", "tars", "webdataset"),
            ("table.parquet", "Parquet", "parquet"),
            ("train-images-idx3-ubyte", "IDX files", "idx"),
        ],
    )
    def test_two_kinds_are_named_with_the_way_out(self, tmp_path: Path, other: str, noun: str, kind: str):
        source = sources.folder(tmp_path / "x", {f"{n}.png": png(n) for n in range(4)})
        {
            "webdataset": lambda: sources.shards(source / other, [0, 1, 2]),
            "parquet": lambda: sources.parquet(source / other, image=[png()] * 3),
            "idx": lambda: sources.idx(source, [0, 1, 2]),
        }[kind]()
        said = rf"pictures \(4, such as 0\.png\) and {noun} \(\d, such as .*`format: pictures` or `format: {kind}`"
        with pytest.raises(BadSource, match=said):
            packed(source, tmp_path)
        assert packed(source, tmp_path, kind="pictures").count == 4
        assert packed(source, tmp_path, kind=kind).count == 3

    def test_a_format_that_is_not_there_is_told(self, tmp_path: Path):
        source = sources.folder(tmp_path / "x", {"1.png": png()})
        with pytest.raises(BadSource, match=r"format is parquet, and there is none of it; it holds pictures \(1"):
            packed(source, tmp_path, kind="parquet")

    @pytest.mark.parametrize("suffix", [".NPZ", ".ZIP", ".TAR", ".PARQUET"])
    def test_capitals_are_as_good(self, tmp_path: Path, suffix: str):
        path = tmp_path / f"x{suffix}"
        {
            ".NPZ": lambda: sources.npz(tmp_path / "y.npz", [0]).rename(path),
            ".ZIP": lambda: sources.zipped(path, {"1.png": png()}),
            ".TAR": lambda: sources.shards(path, [0]),
            ".PARQUET": lambda: sources.parquet(path, image=[png()]),
        }[suffix]()
        assert packed(path, tmp_path).count == 1


class TestLabelsWhereTheFieldKeepsThem:
    @pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
    def test_metadata_of_hugging_face(self, tmp_path: Path, kind: str):
        data = packed(sources.hugging_face(tmp_path / "x", {"1.png": "cat", "2.png": "dog"}, kind), tmp_path)
        assert names_of(data) == ["cat", "dog"]

    @pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
    def test_metadata_in_a_split(self, tmp_path: Path, kind: str):
        for split, label in (("train", "cat"), ("test", "dog")):
            sources.hugging_face(tmp_path / "x" / split, {"1.png": label, "2.png": "owl"}, kind)
        assert names_of(packed(tmp_path / "x", tmp_path)) == ["cat", "owl"]
        assert names_of(packed(tmp_path / "x", tmp_path, split="test")) == ["dog", "owl"]

    @pytest.mark.parametrize("make", [sources.folder, sources.zipped])
    def test_stylegan_s_dataset_json(self, tmp_path: Path, make):
        labels = [["00000/img00000000.png", 6], ["00000/img00000001.png", 2], ["00001/img00000002.png", 6]]
        files = {name: png() for name, _ in labels}
        files["dataset.json"] = json.dumps({"labels": labels}).encode()
        assert names_of(packed(make(tmp_path / "x.zip", files), tmp_path)) == ["6", "2", "6"]

    @pytest.mark.parametrize("make", [sources.folder, sources.zipped])
    def test_stylegan_s_counters_are_no_classes(self, tmp_path: Path, make):
        files = {"00000/1.png": png(), "00001/2.png": png(), "dataset.json": b'{"labels": null}'}
        assert packed(make(tmp_path / "x.zip", files), tmp_path).classes is None

    def test_labels_json(self, tmp_path: Path):
        files = {"1.png": png(), "2.png": png(), "labels.json": b'{"1.png": 7, "2.png": 3}'}
        assert names_of(packed(sources.folder(tmp_path / "x", files), tmp_path)) == ["7", "3"]

    def test_a_label_of_hive_s_folders(self, tmp_path: Path):
        files = {"label=cat/1.png": png(), "label=dog/1.png": png()}
        assert packed(sources.folder(tmp_path / "x", files), tmp_path).class_names == ("cat", "dog")
        for name in ("cat", "dog"):
            sources.parquet(tmp_path / "y" / f"label={name}" / "part-0.parquet", image=[png()])
        assert names_of(packed(tmp_path / "y", tmp_path)) == ["cat", "dog"]

    @pytest.mark.parametrize("name", ["label", "labels", "target", "fine_label", "class"])
    def test_columns(self, tmp_path: Path, name: str):
        sources.parquet(tmp_path / "x.parquet", image=[png(), png()], **{name: [1, 0], "coarse": [0, 0]})
        assert names_of(packed(tmp_path / "x.parquet", tmp_path)) == ["1", "0"]
        assert names_of(packed(tmp_path / "x.parquet", tmp_path, label="coarse")) == ["0", "0"]
        with pytest.raises(BadSource, match=r"no column 'colour'; it has image, "):
            packed(tmp_path / "x.parquet", tmp_path, label="colour")

    def test_two_columns_are_a_doubt(self, tmp_path: Path):
        sources.parquet(tmp_path / "x.parquet", image=[png()], label=[1], target=[0])
        with pytest.raises(BadSource, match=r"labels could be label or target; data\.label says which column"):
            packed(tmp_path / "x.parquet", tmp_path)

    def test_folders_and_a_table_that_disagree_are_a_doubt(self, tmp_path: Path):
        files = {"a/1.png": png(), "b/1.png": png(), "metadata.csv": b"file_name,label\na/1.png,x\nb/1.png,x\n"}
        source = sources.folder(tmp_path / "x", files)
        with pytest.raises(BadSource, match=r"metadata\.csv has labels, and the folders a, b say others"):
            packed(source, tmp_path)
        assert names_of(packed(source, tmp_path, label="folder")) == ["a", "b"]
        assert names_of(packed(source, tmp_path, label="label")) == ["x", "x"]

    @pytest.mark.parametrize("missing", [None, float("nan")])
    def test_one_row_without_a_label_is_left_out_by_name(self, tmp_path: Path, missing: float | None):
        sources.parquet(tmp_path / "x.parquet", image=[png(n) for n in range(3)], label=[1.0, missing, 0.0])
        data = packed(tmp_path / "x.parquet", tmp_path)
        assert names_of(data) == ["1", "0"]
        assert [(each.reason, each.first) for each in data.account.left_out] == [("has no label", ("row 1",))]

    def test_mostly_without_labels_is_a_doubt(self, tmp_path: Path):
        sources.parquet(tmp_path / "x.parquet", image=[png()] * 3, label=[1, None, None])
        with pytest.raises(BadSource, match=r"2 of 3 pictures have no label, such as row 1; `labels: none`"):
            packed(tmp_path / "x.parquet", tmp_path)
        assert packed(tmp_path / "x.parquet", tmp_path, labels="none").count == 3

    def test_a_file_without_the_column_is_named(self, tmp_path: Path):
        sources.parquet(tmp_path / "x" / "train-0.parquet", image=[png()], label=[0])
        sources.parquet(tmp_path / "x" / "train-1.parquet", image=[png()])
        with pytest.raises(BadSource, match=r"train-1\.parquet has no column 'label', which .*train-0\.parquet has"):
            packed(tmp_path / "x", tmp_path)


class TestTars:
    def test_a_mask_is_not_a_second_picture(self, tmp_path: Path):
        files = {"1.png": png(1), "1.seg.png": png(9), "2.png": png(2), "2.seg.png": png(9)}
        data = packed(sources.tarred(tmp_path / "x.tar", files), tmp_path)
        assert data.samples[:, 0, 0, 0].tolist() == [1, 2]
        assert [(each.reason, each.count) for each in data.account.left_out] == [
            ("beside the picture of the same sample", 2)
        ]

    def test_two_pictures_of_a_sample_are_a_doubt(self, tmp_path: Path):
        files = {"1.png": png(1), "1.bmp": png(9)}
        with pytest.raises(BadSource, match=r"x\.tar/1 has the pictures \.png and \.bmp; one is expected"):
            packed(sources.tarred(tmp_path / "x.tar", files), tmp_path)

    def test_dots_in_names_are_no_samples(self, tmp_path: Path):
        files = {"img.v1.png": png(1), "img.v2.png": png(2)}
        assert packed(sources.tarred(tmp_path / "x.tar", files), tmp_path).samples[:, 0, 0, 0].tolist() == [1, 2]

    @pytest.mark.parametrize(
        ("extension", "contents"),
        [
            ("json", ['{"label": "b"}', '{"label": "a"}', '{"label": "b"}', '{"label": "a"}']),
            ("txt", ["b", "a", "b", "a"]),
        ],
    )
    def test_labels_in_json_and_txt(self, tmp_path: Path, extension: str, contents: list[str]):
        files: dict[str, bytes] = {}
        for number, content in enumerate(contents):
            files |= {f"{number}.png": png(number), f"{number}.{extension}": content.encode()}
        assert names_of(packed(sources.tarred(tmp_path / "x.tar", files), tmp_path)) == ["b", "a", "b", "a"]

    def test_captions_are_no_labels(self, tmp_path: Path):
        files = {"1.png": png(), "1.txt": b"a cat on a mat", "2.png": png(), "2.txt": b"a dog"}
        assert packed(sources.tarred(tmp_path / "x.tar", files), tmp_path).classes is None

    def test_our_own_data_set_comes_back_with_its_names(self, tmp_path: Path):
        files: dict[str, bytes] = {}
        for number, name in ((4, "coat"), (2, "bag")):
            about = json.dumps({"index": number, "label": number, "class": name}).encode()
            files |= {f"{number}.png": png(), f"{number}.cls": str(number).encode(), f"{number}.json": about}
        data = packed(sources.tarred(tmp_path / "x.tar", files), tmp_path)
        assert (data.class_names, data.class_labels, names_of(data)) == (("bag", "coat"), (2, 4), ["coat", "bag"])

    def test_folders_in_a_plain_tar_are_classes(self, tmp_path: Path):
        files = {"./pets/cat/1.png": png(1), "./pets/dog/1.png": png(2)}
        assert names_of(packed(sources.tarred(tmp_path / "x.tar", files), tmp_path)) == ["cat", "dog"]

    def test_a_tar_a_class_as_imagenet_has_them(self, tmp_path: Path):
        for name in ("n01440764", "n01443537"):
            sources.tarred(tmp_path / "x" / f"{name}.tar", {f"{name}_{n}.png": png() for n in (1, 2)})
        assert packed(tmp_path / "x", tmp_path).class_names == ("n01440764", "n01443537")


class TestArrays:
    def saved(self, tmp_path: Path, images: np.ndarray, **arrays: np.ndarray) -> Path:
        np.savez(tmp_path / "x.npz", images=images, **arrays)
        return tmp_path / "x.npz"

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_a_picture_that_is_not_finite_is_named_by_its_number(self, tmp_path: Path, value: float):
        images = np.zeros((5, 8, 8))
        images[3, 2, 2] = value
        with pytest.raises(UnreadableImages, match=r"1 of 5 pictures .*\n  3: has pixels that are not finite"):
            packed(self.saved(tmp_path, images), tmp_path)

    @pytest.mark.parametrize(
        ("high", "said"),
        [
            (255.0, r"float64 pixels in 0\.\.255; wanted floats in 0\.\.1 or -1\.\.1; divide them by 255"),
            (1e6, r"float64 pixels in 0\.\.1e\+06; wanted floats in 0\.\.1 or -1\.\.1\Z"),
        ],
    )
    def test_a_range_is_told_with_the_one_that_is_wanted(self, tmp_path: Path, high: float, said: str):
        images = np.zeros((2, 8, 8))
        images[1] = high
        with pytest.raises(BadSource, match=said):
            packed(self.saved(tmp_path, images), tmp_path)

    def test_objects_are_refused_with_the_way_out(self, tmp_path: Path):
        with pytest.raises(BadSource, match=r"x\.npz holds Python objects.*save it as an array of numbers"):
            packed(self.saved(tmp_path, np.array([object()])), tmp_path)

    @pytest.mark.parametrize("content", [b"", b"PK no", b"<html>"])
    def test_what_is_no_npz_is_named(self, tmp_path: Path, content: bytes):
        (tmp_path / "x.npz").write_bytes(content)
        with pytest.raises(BadSource, match=r"x\.npz"):
            packed(tmp_path / "x.npz", tmp_path)

    def test_words_are_labels(self, tmp_path: Path):
        assert names_of(
            packed(self.saved(tmp_path, np.zeros((2, 8, 8), np.uint8), labels=np.array(["b", "a"])), tmp_path)
        ) == [
            "b",
            "a",
        ]

    def test_an_npy_is_mapped(self, tmp_path: Path):
        np.save(tmp_path / "x.npy", np.arange(2 * 8 * 8, dtype=np.uint8).reshape(2, 8, 8))
        assert packed(tmp_path / "x.npy", tmp_path).samples.reshape(-1).tolist() == list(range(128))


class TestIdxOfOtherTypes:
    @pytest.mark.parametrize(
        ("code", "kind", "values"), [(0xB, ">i2", 200), (0xC, ">i4", 200), (0xD, ">f4", 0.5), (0xE, ">f8", 0.5)]
    )
    def test_they_are_read(self, tmp_path: Path, code: int, kind: str, values: float):
        content = bytes([0, 0, code, 3]) + struct.pack(">3I", 2, 8, 8) + np.full((2, 8, 8), values, kind).tobytes()
        source = sources.folder(tmp_path / "x", {"train-images-idx3-ubyte": content})
        assert packed(source, tmp_path).samples.max() == (200 if values == 200 else 0)

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (bytes([0, 0, 8, 3, 0]), "is cut short: 5 bytes, and its head alone has 16"),
            (b"<html>", "is not an IDX file: it begins with 3c 68 74 6d"),
            (bytes([0, 0, 8, 3]) + b"\xff" * 12, "is cut short or too long: 0 bytes for 4294967295x"),
        ],
    )
    def test_what_is_none_is_told(self, tmp_path: Path, content: bytes, said: str):
        with pytest.raises(BadSource, match=said):
            packed(sources.folder(tmp_path / "x", {"train-images-idx3-ubyte": content}), tmp_path)


def test_a_name_that_is_not_utf_8_is_told(tmp_path: Path):
    source = sources.folder(tmp_path / "x", {"a/1.png": png()})
    os.makedirs(os.fsencode(source) + b"/caf\xe9")
    with pytest.raises(BadSource, match=r"the name caf\\xe9 is not in UTF-8; rename it"):
        packed(source, tmp_path)


def test_one_picture_alone_is_a_source(tmp_path: Path):
    (tmp_path / "1.png").write_bytes(png(5))
    assert packed(tmp_path / "1.png", tmp_path).count == 1


class TestLinks:
    def test_linked_class_folders_inside_are_followed(self, tmp_path: Path):
        source = sources.folder(tmp_path / "x", {"train/a/1.png": png(1), "train/b/1.png": png(2)})
        (source / "train" / "c").symlink_to("a")
        assert names_of(packed(source / "train", tmp_path)) == ["a", "b", "c"]

    def test_links_in_a_circle_end(self, tmp_path: Path):
        source = sources.folder(tmp_path / "x", {"a/1.png": png(1), "b/1.png": png(2)})
        (source / "a" / "up").symlink_to("..")
        (source / "b" / "self").symlink_to(".")
        assert packed(source, tmp_path).class_names == ("a", "b")

    def test_a_class_folder_outside_is_refused_or_allowed(self, tmp_path: Path):
        sources.folder(tmp_path / "pool" / "c", {"1.png": png(3)})
        source = sources.folder(tmp_path / "x", {"a/1.png": png(1), "b/1.png": png(2)})
        (source / "c").symlink_to(tmp_path / "pool" / "c")
        with pytest.raises(BadSource, match=r"x/c is a link that leads out of the folder.*GANWORKS_DATA_ROOTS="):
            packed(source, tmp_path)
        assert names_of(packed(source, tmp_path, roots=[tmp_path / "pool"])) == ["a", "b", "c"]

    def test_a_link_to_nothing_is_named(self, tmp_path: Path):
        source = sources.folder(tmp_path / "x", {"1.png": png(1)})
        (source / "2.png").symlink_to("gone.png")
        with pytest.raises(UnreadableImages, match=r"2\.png: is a link to .*gone\.png, which is not there"):
            packed(source, tmp_path)

    @pytest.mark.skipif(os.geteuid() != 0, reason="root alone can become another user")
    def test_a_folder_that_may_not_be_read_is_named(self):
        """As another user: to root nothing is closed."""
        home = Path(tempfile.mkdtemp())
        try:
            home.chmod(0o755)
            source = sources.folder(home / "x", {"a/1.png": png(1), "b/1.png": png(2)})
            (source / "b").chmod(0)
            said = subprocess.run(
                [sys.executable, "-c", AS_NOBODY, str(source)], capture_output=True, text=True, check=True
            ).stdout
        finally:
            shutil.rmtree(home)
        assert "x/b cannot be read (Permission denied)" in said


AS_NOBODY = """
import os, sys
from pathlib import Path
from trainers.data.readers.sources import BadSource
from trainers.data.readers.walk import walk
os.setuid(65534)
try:
    print(walk(Path(sys.argv[1])))
except BadSource as error:
    print(error)
"""


class TestWhatIsNoPicture:
    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a pointer of Git LFS.*git lfs pull"),
            (b"  <!DOCTYPE html><html>no such page</html>", "is a page of HTML"),
            (b"", "is empty"),
            (b"no", r"cannot identify image file\Z"),
        ],
    )
    def test_it_is_said_what_it_is(self, tmp_path: Path, content: bytes, said: str):
        with pytest.raises(UnreadableImages, match=rf"1\.png: {said}"):
            packed(sources.folder(tmp_path / "x", {"1.png": content}), tmp_path)


class TestAccount:
    def test_what_was_used_and_left_out_is_told_in_one_line(self, tmp_path: Path):
        files = {f"{name}/{n}.png": png(n) for name in ("a", "b") for n in range(3)}
        files |= {"a/notes.txt": b"x", "b/more.txt": b"x", "b/9.png": b"no", "a/7.png": png(0, (20, 10))}
        data = packed(sources.folder(tmp_path / "x", files), tmp_path, max_corrupt_share=0.2)
        assert data.account.by_class == {"a": 4, "b": 3}
        assert data.account.fitted == {"kept": 6, "cropped": 1}
        line = data.account.line
        assert "\n" not in line
        assert line.startswith("x: 7 pictures used of 2 classes (a 4, b 3); ")
        assert "2 left out: not a picture (.txt) (a/notes.txt, b/more.txt)" in line
        assert "1 left out: cannot identify image file (b/9.png)" in line
        assert line.endswith("; 1 cropped")

    @pytest.mark.parametrize(
        ("way", "how", "row"),
        [
            (None, "cropped", [200] * 8),
            ("crop", "cropped", [200] * 8),
            ("pad", "padded", [0, 0, 200, 200, 200, 200, 0, 0]),
            ("stretch", "stretched", [200] * 8),
        ],
    )
    def test_ways_to_fit(self, tmp_path: Path, way: Any, how: str, row: list[int]):
        data = packed(sources.folder(tmp_path / "x", {"1.png": png(200, (32, 16))}), tmp_path, way=way)
        assert data.account.fitted == {how: 1}
        assert data.samples[0, 0, :, 0].tolist() == row
