"""Pictures decoded in processes: the same bytes in the same order as one process makes, and no picture lost."""

import io
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from trainers.data import decoding
from trainers.data import pack as packing
from trainers.data.decoding import Fitted, ProcessDied, fitted, fitted_in_order
from trainers.data.fit import fit
from trainers.data.pack import UnreadableImages, pack
from trainers.data.packed import SAMPLES
from trainers.data.readers.decode import UnreadableImage, decode


def picture(number: int, size: tuple[int, int] = (20, 20)) -> Image.Image:
    """A smooth picture that tells its number."""
    y, x = np.mgrid[0 : size[1], 0 : size[0]]
    waves = [127 + 120 * np.sin((x * (1 + number % 5) + y * channel + number) / 40) for channel in (0, 1, 2)]
    return Image.fromarray(np.stack(waves, axis=-1).astype(np.uint8))


def encoded(number: int, size: tuple[int, int] = (20, 20), kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    picture(number, size).save(out, kind)
    return out.getvalue()


def folder_of(place: Path, count: int) -> Path:
    for number in range(count):
        name = place / ("even" if number % 2 == 0 else "odd") / f"{number}.png"
        name.parent.mkdir(parents=True, exist_ok=True)
        name.write_bytes(encoded(number))
    return place


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes are started also for a few pictures."""
    monkeypatch.setattr(packing, "WORTH", 1)
    monkeypatch.setattr(decoding, "CHUNK_PICTURES", 7)


def whole(results: Any) -> list[tuple[bytes | None, str, str | None]]:
    return [(None if r.picture is None else r.picture.tobytes(), r.how, r.problem) for r in results]


@pytest.mark.usefixtures("always")
def test_any_number_of_processes_packs_the_same_bytes(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "pictures", 50)
    packed = [pack(source, tmp_path / f"{n}", resolution=16, processes=n) for n in (1, 2, 3)]
    assert len({each.digest for each in packed}) == 1
    assert len({(each.folder / SAMPLES).read_bytes() for each in packed}) == 1
    assert len({each.labels.tobytes() for each in packed if each.labels is not None}) == 1


@pytest.mark.usefixtures("always")
def test_what_cannot_be_used_is_named_whoever_decodes(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "pictures", 30)
    (source / "even" / "8.png").write_bytes(b"no picture")
    (source / "odd" / "13.png").write_bytes(b"")
    (source / "odd" / "15.png").write_bytes(encoded(15)[:60])
    for processes in (1, 2):
        with pytest.raises(UnreadableImages, match="3 of 30 pictures cannot be used") as error:
            pack(source, tmp_path / "out", resolution=16, processes=processes)
        assert [each["name"] for each in error.value.skipped] == ["even/8.png", "odd/13.png", "odd/15.png"]
    used = pack(source, tmp_path / "used", resolution=16, processes=2, max_corrupt_share=0.2)
    assert used.count == 27


def test_pictures_come_in_order_however_long_each_takes() -> None:
    reads = [partial(encoded, n, (400, 400) if n % 9 == 0 else (8, 8)) for n in range(60)]
    assert whole(fitted_in_order(reads, 8, None, processes=3)) == whole(fitted_in_order(reads, 8, None, processes=1))


def test_only_a_few_chunks_are_read_ahead() -> None:
    read: list[int] = []

    def one(number: int) -> bytes:
        read.append(number)
        return encoded(number)

    coming = fitted_in_order((partial(one, n) for n in range(10_000)), 8, None, processes=2)
    next(coming)
    assert len(read) <= (decoding.AHEAD * 2 + 1) * decoding.CHUNK_PICTURES
    coming.close()  # type: ignore[attr-defined]


def test_a_failure_to_read_stands_in_its_place() -> None:
    def gone() -> bytes:
        raise UnreadableImage("Permission denied")

    reads = [partial(encoded, 1), gone, partial(encoded, 2)]
    for processes in (1, 2):
        assert [each.problem for each in fitted_in_order(reads, 8, None, processes=processes)] == [
            None, "Permission denied", None,
        ]  # fmt: skip


def test_a_process_that_dies_ends_the_packing_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    begin = decoding._Process.__init__

    def watched(self: Any, *arguments: Any) -> None:
        begin(self, *arguments)
        started.append(self._child.pid)

    monkeypatch.setattr(decoding._Process, "__init__", watched)
    coming = fitted_in_order((partial(encoded, n) for n in range(10_000)), 8, None, processes=2)
    next(coming)
    for pid in started:
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(ProcessDied, match="ended with -9; is there too little memory"):
        list(coming)


def test_no_process_is_left_when_somebody_stops_listening(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    begin = decoding._Process.__init__

    def watched(self: Any, *arguments: Any) -> None:
        begin(self, *arguments)
        started.append(self._child)

    monkeypatch.setattr(decoding._Process, "__init__", watched)
    coming = fitted_in_order((partial(encoded, n) for n in range(1000)), 8, None, processes=2)
    next(coming)
    coming.close()  # type: ignore[attr-defined]
    assert [child.poll() for child in started] == [-9, -9]


def test_somebody_elses_trainers_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "trainers.py").write_text("raise RuntimeError('not ours')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert len(list(fitted_in_order([partial(encoded, 1)], 8, None, processes=2))) == 1


def test_arrays_are_fitted_where_they_are() -> None:
    array = np.arange(20 * 20 * 3, dtype=np.uint8).reshape(20, 20, 3)
    assert fitted(lambda: array, 8, "stretch").how == "stretched"
    kept = fitted(lambda: array, None, None)
    assert kept == Fitted(array, "kept")


@pytest.mark.parametrize(
    ("size", "reduced"),
    [((1024, 768), True), ((300, 200), True), ((140, 140), True), ((120, 120), False), ((64, 64), False)],
)
def test_a_large_jpeg_is_decoded_smaller_and_looks_the_same(size: tuple[int, int], reduced: bool) -> None:
    """Fitted to 32 pixels; at least twice as many a side are left for the resampling to see."""
    data = encoded(3, size, "JPEG")
    full, small = decode(data), decode(data, at_least=64)
    assert full.shape == (size[1], size[0], 3)
    assert (small.shape < full.shape) == reduced
    assert min(small.shape[:2]) >= min(64, *size)
    gap = np.abs(fit(full, 32).astype(int) - fit(small, 32).astype(int))
    assert gap.mean() < 2
    assert gap.max() <= 12


def test_other_formats_are_decoded_whole() -> None:
    assert decode(encoded(3, (512, 512)), at_least=16).shape == (512, 512, 3)
