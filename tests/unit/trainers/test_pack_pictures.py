"""Pictures as people have them: read right, or refused by name."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainers.data.pack import UnreadableImages, pack
from trainers.data.packed import open_packed
from trainers.data.readers.decode import UnreadableImage, decode
from trainers.data.readers.sources import BadSource

ORIENTATION = 0x0112
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def plain(colour, size=(8, 8), mode: str = "RGB") -> Image.Image:
    return Image.new(mode, size, colour)


def wide_png(value: int) -> bytes:
    return encoded(Image.fromarray(np.full((2, 2), value, np.uint16)))


class TestDecode:
    @pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM"])
    def test_formats(self, kind: str):
        options = {"lossless": True} if kind == "WEBP" else {}
        assert decode(encoded(plain(RED), kind, **options))[0, 0].tolist() == list(RED)

    def test_jpeg(self):
        assert np.abs(decode(encoded(plain(RED), "JPEG")).astype(int) - RED).max() < 4

    @pytest.mark.parametrize(("value", "expected"), [(0, 0), (257, 1), (32768, 128), (65535, 255)])
    def test_sixteen_bits_are_scaled_and_not_clipped(self, value: int, expected: int):
        pixels = decode(wide_png(value))
        assert pixels.shape == (2, 2, 1)
        assert (pixels == expected).all()

    def test_one_bit(self):
        assert decode(encoded(plain(1, mode="1")))[0, 0].tolist() == [255]

    def test_a_coloured_palette(self):
        image = plain(RED)
        image.paste(BLUE, (0, 0, 4, 8))
        assert decode(encoded(image.quantize(4)))[0, [0, 7]].tolist() == [list(BLUE), list(RED)]

    def test_a_palette_of_greys_is_grey(self):
        image = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))
        pixels = decode(encoded(image.convert("P")))
        assert pixels.shape == (8, 8, 1)
        assert (pixels.reshape(-1) == np.arange(64)).all()

    @pytest.mark.parametrize("alpha", [0, 255, 128])
    def test_transparency_is_laid_on_white(self, alpha: int):
        pixel = decode(encoded(plain((*RED, alpha), mode="RGBA")))[0, 0].astype(int)
        assert np.abs(pixel - [255, 255 - alpha, 255 - alpha]).max() <= 1

    def test_grey_with_transparency_stays_grey(self):
        assert decode(encoded(plain((0, 0), mode="LA"))).tolist() == np.full((8, 8, 1), 255).tolist()

    def test_a_transparent_palette_entry(self):
        image = plain(RED).quantize(2)
        assert decode(encoded(image, transparency=image.getpixel((0, 0))))[0, 0].tolist() == [255, 255, 255]

    def test_cmyk(self):
        assert decode(encoded(plain((0, 255, 255, 0), mode="CMYK"), "TIFF"))[0, 0].tolist() == list(RED)

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_exif_orientation_is_applied(self, orientation: int):
        upright = Image.fromarray(np.arange(24, dtype=np.uint8).reshape(4, 6) * 10)
        turn = {
            1: None,
            2: Image.Transpose.FLIP_LEFT_RIGHT,
            3: Image.Transpose.ROTATE_180,
            4: Image.Transpose.FLIP_TOP_BOTTOM,
            5: Image.Transpose.TRANSPOSE,
            6: Image.Transpose.ROTATE_90,
            7: Image.Transpose.TRANSVERSE,
            8: Image.Transpose.ROTATE_270,
        }[orientation]
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        stored = upright if turn is None else upright.transpose(turn)
        assert (decode(encoded(stored, exif=exif))[:, :, 0] == np.asarray(upright)).all()

    @pytest.mark.parametrize("kind", ["PNG", "JPEG"])
    def test_cut_off_files_are_refused(self, kind: str):
        whole = encoded(Image.effect_noise((64, 64), 90), kind)
        with pytest.raises(UnreadableImage):
            decode(whole[: len(whole) // 2])

    def test_animations_are_refused(self):
        data = encoded(plain(RED), "GIF", save_all=True, append_images=[plain(BLUE)])
        with pytest.raises(UnreadableImage, match="2 frames"):
            decode(data)

    def test_floats_and_wide_integers_are_refused(self):
        with pytest.raises(UnreadableImage, match="floating-point"):
            decode(encoded(Image.fromarray(np.ones((2, 2), np.float32)), "TIFF"))
        with pytest.raises(UnreadableImage, match="32-bit"):
            decode(encoded(Image.fromarray(np.full((2, 2), 70_000, np.int32)), "TIFF"))

    def test_decompression_bombs_are_refused(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
        with pytest.raises(UnreadableImage, match="decompression bomb"):
            decode(encoded(plain(RED)))

    def test_what_is_no_picture_is_refused(self):
        with pytest.raises(UnreadableImage, match="cannot identify"):
            decode(b"hello")


Make = Callable[[dict[str, bytes]], Path]


@pytest.fixture(params=["folder", "zip"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Files as a folder or as a zip."""

    def made(files: dict[str, bytes]) -> Path:
        source = tmp_path / ("source.zip" if request.param == "zip" else "source")
        if request.param == "zip":
            with zipfile.ZipFile(source, "w") as archive:
                for name, content in files.items():
                    archive.writestr(name, content)
            return source
        for name, content in files.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(content)
        return source

    return made


def packed(source: Path, out: Path, **options):
    return pack(source, out / "packed", **({"resolution": 8} | options))


def test_folders_are_classes_and_numbers_are_sorted_as_numbers(make: Make, tmp_path: Path):
    files = {f"{name}/{i}.png": encoded(plain(name * 20, mode="L")) for name in (10, 2, 1) for i in (10, 9)}
    data = packed(make(files), tmp_path)
    assert data.class_names == ("1", "2", "10")
    assert data.labels is not None
    assert data.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert data.samples[:, 0, 0, 0].tolist() == [20, 20, 40, 40, 200, 200]


def test_files_are_in_natural_order(make: Make, tmp_path: Path):
    files = {f"img{i}.png": encoded(plain(i, mode="L")) for i in (10, 9, 100, 1)}
    data = packed(make(files), tmp_path)
    assert data.samples[:, 0, 0, 0].tolist() == [1, 9, 10, 100]
    assert (data.classes, data.labels) == (None, None)


def test_litter_is_ignored_and_other_files_are_noted(make: Make, tmp_path: Path):
    good = encoded(plain(RED))
    junk = ["__MACOSX/a/._1.png", "a/._1.png", ".DS_Store", "a/Thumbs.db", ".hidden/1.png"]
    data = packed(make({"a/1.png": good, "b/1.png": good, "notes.txt": b"x"} | dict.fromkeys(junk, b"x")), tmp_path)
    assert (data.count, data.class_names) == (2, ("a", "b"))
    meta = json.loads((data.folder / "meta.json").read_text())
    assert meta["skipped"] == [{"name": "notes.txt", "reason": "not a picture (.txt)"}]


def test_a_lone_folder_is_no_class(make: Make, tmp_path: Path):
    assert packed(make({"photos/images/1.png": encoded(plain(RED))}), tmp_path).classes is None


def test_grey_and_coloured_pictures_become_rgb(make: Make, tmp_path: Path):
    data = packed(make({"1.png": encoded(plain(7, mode="L")), "2.png": encoded(plain(RED))}), tmp_path)
    assert data.shape == (3, 8, 8)
    assert data.samples[:, :, 0, 0].tolist() == [[7, 7, 7], list(RED)]


def test_channels_can_be_asked_for(make: Make, tmp_path: Path):
    data = packed(make({"1.png": encoded(plain(GREEN))}), tmp_path, channels=1)
    assert data.samples[0, :, 0, 0].tolist() == [150]


def test_every_corrupt_picture_is_named(make: Make, tmp_path: Path):
    good = encoded(plain(RED))
    source = make({"a.png": good, "b.png": good[:30], "c.jpg": b"no", "d.svg": b"<svg/>"})
    with pytest.raises(UnreadableImages, match="3 of 4 pictures cannot be used") as raised:
        packed(source, tmp_path)
    assert [entry["name"] for entry in raised.value.skipped] == ["b.png", "c.jpg", "d.svg"]
    for name in ("b.png: ", "c.jpg: cannot identify", "d.svg: "):
        assert name in str(raised.value)
    assert not (tmp_path / "packed").exists()
    assert not list(tmp_path.glob(".packed-*"))


def test_a_share_of_corrupt_pictures_can_be_allowed_and_is_noted(make: Make, tmp_path: Path):
    files = {f"{i}.png": encoded(plain(i, mode="L")) for i in range(9)} | {"9.png": b"no"}
    data = packed(make(files), tmp_path, max_corrupt_share=0.1)
    assert data.count == 9
    assert open_packed(data.folder).samples[:, 0, 0, 0].tolist() == list(range(9))
    assert json.loads((data.folder / "meta.json").read_text())["skipped"][0]["name"] == "9.png"


def test_mixed_sizes_need_a_resolution(make: Make, tmp_path: Path):
    source = make({"1.png": encoded(plain(RED, (8, 8))), "2.png": encoded(plain(RED, (9, 7)))})
    with pytest.raises(UnreadableImages, match=r"2\.png: is 9x7, the first is 8x8; give a resolution"):
        packed(source, tmp_path, resolution=None)
    assert packed(source, tmp_path, resolution=8).count == 2


def test_loose_pictures_beside_class_folders_are_refused(make: Make, tmp_path: Path):
    good = encoded(plain(RED))
    with pytest.raises(BadSource, match=r"1 pictures \(such as x.png\) lie beside the class folders a, b"):
        packed(make({"a/1.png": good, "b/1.png": good, "x.png": good}), tmp_path)


def test_splits(make: Make, tmp_path: Path):
    files = {
        f"{split}/{name}/1.png": encoded(plain(n, mode="L"))
        for n, (split, name) in enumerate([("train", "a"), ("train", "b"), ("test", "a"), ("test", "b")])
    }
    source = make(files)
    assert packed(source, tmp_path).samples[:, 0, 0, 0].tolist() == [0, 1]
    test = pack(source, tmp_path / "test", resolution=8, split="test")
    assert test.samples[:, 0, 0, 0].tolist() == [2, 3]
    assert test.class_names == ("a", "b")
    with pytest.raises(BadSource, match="no split 'validation'; it has test, train"):
        packed(source, tmp_path, split="validation")


def test_labels_modes(make: Make, tmp_path: Path):
    source = make({"a/1.png": encoded(plain(RED)), "b/1.png": encoded(plain(RED))})
    assert packed(source, tmp_path, labels="none").classes is None
    with pytest.raises(ValueError, match="labels is 'yes'; it is one of auto, none, required"):
        packed(source, tmp_path, labels="yes")


def test_labels_can_be_required(make: Make, tmp_path: Path):
    with pytest.raises(BadSource, match="labels are required"):
        packed(make({"1.png": encoded(plain(RED))}), tmp_path, labels="required")


def test_an_empty_source_is_refused(make: Make, tmp_path: Path):
    with pytest.raises(BadSource, match="no pictures in"):
        packed(make({"readme.txt": b""}), tmp_path)


@pytest.mark.parametrize("name", ["../evil.png", "/evil.png", "a/../../evil.png", "..\\evil.png", "C:/evil.png"])
def test_a_zip_whose_names_lead_out_is_refused(tmp_path: Path, name: str):
    source = tmp_path / "evil.zip"
    with zipfile.ZipFile(source, "w") as archive:
        archive.writestr(name, encoded(plain(RED)))
    with pytest.raises(BadSource, match="leads out of the zip"):
        packed(source, tmp_path)


def test_a_zip_bomb_is_refused(tmp_path: Path):
    source = tmp_path / "bomb.zip"
    with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.png", bytes(20_000_000))
    with pytest.raises(BadSource, match="that is no picture"):
        packed(source, tmp_path)


def test_a_damaged_zip_is_refused(tmp_path: Path):
    (tmp_path / "x.zip").write_bytes(b"PK no")
    with pytest.raises(BadSource, match="damaged zip"):
        packed(tmp_path / "x.zip", tmp_path)


def test_links_that_lead_out_are_refused_by_name(tmp_path: Path):
    (tmp_path / "secret.png").write_bytes(encoded(plain(RED)))
    source = tmp_path / "source"
    source.mkdir()
    (source / "1.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(UnreadableImages, match=r"1\.png: is a link that leads out of the folder"):
        packed(source, tmp_path)


def test_progress_ends_at_the_whole(make: Make, tmp_path: Path):
    seen: list[tuple[int, int]] = []
    packed(make({"1.png": encoded(plain(RED))}), tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 1)]
