"""Shards cover every sample once, whatever is there already."""

import io
import json
import tarfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from jobs import sinks
from jobs.sinks import Class, pixels
from jobs.storage.shards import missing, plan


@given(st.integers(1, 5000), st.integers(1, 700))
def test_every_sample_is_in_exactly_one_shard(samples: int, per_shard: int) -> None:
    shards = plan(samples, per_shard)
    assert [i for shard in shards for i in range(shard.start, shard.stop)] == list(range(samples))
    assert {shard.of for shard in shards} == {len(shards)}


@given(st.sets(st.integers(0, 9)))
def test_what_has_a_receipt_is_not_made_again(done: set[int]) -> None:
    shards = plan(95, 10)
    assert {shard.number for shard in missing(shards, done)} == set(range(10)) - done


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_png_decodes_to_the_same_pixels(channels: int) -> None:
    picture = np.random.default_rng(channels).integers(0, 256, (channels, 9, 13), np.uint8)
    decoded = np.asarray(Image.open(io.BytesIO(pixels.encode(picture)))).reshape(9, 13, channels)
    assert (decoded.transpose(2, 0, 1) == picture).all()


def test_a_tar_has_its_members_in_order_and_the_same_bytes_again() -> None:
    sink, (_, shard) = sinks.get("webdataset"), plan(6, 3)
    pictures = np.random.default_rng(0).integers(0, 256, (3, 1, 8, 8), np.uint8)
    records = [sink.encode(3 + i, picture, Class(number=i, name=f"class {i}")) for i, picture in enumerate(pictures)]
    (first,), (again,) = sink.assemble(shard, records), sink.assemble(shard, records)
    assert first == again
    assert first.key == "train-00001-of-00002.tar"
    with tarfile.open(fileobj=io.BytesIO(first.content)) as tar:
        names = tar.getnames()
        (about,) = (json.load(tar.extractfile(name)) for name in names if name == "000000000004.json")  # type: ignore[arg-type]
    assert about == {"index": 4, "label": 1, "class": "class 1"}
    assert names[:4] == ["000000000003.png", "000000000003.cls", "000000000003.json", "000000000004.png"]


def test_plain_pngs_lie_in_a_folder_for_each_class() -> None:
    sink, (shard,) = sinks.get("png"), plan(2, 2)
    picture = np.zeros((1, 4, 4), np.uint8)
    classes = [Class(number=n, name=name) for n, name in enumerate(("Bag", "T-shirt/top", "..", "日本", "50%"))]
    records = [sink.encode(i, picture, label) for i, label in enumerate([*classes, None])]
    assert [written.key for written in sink.assemble(shard, records)] == [
        "train/Bag/000000000000.png",
        "train/T-shirt%2Ftop/000000000001.png",
        "train/%2E./000000000002.png",
        "train/日本/000000000003.png",
        "train/50%25/000000000004.png",
        "train/000000000005.png",
    ]
