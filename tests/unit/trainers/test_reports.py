"""What people look at: grids, curves, descriptions."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support import plugin
from trainers.background import Background
from trainers.gan.describe import describe, main
from trainers.monitoring.grids import save_grid, tile
from trainers.monitoring.plots import loss_curves


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_a_grid_holds_every_sample_in_its_place(tmp_path: Path, channels: int, mode: str):
    samples = np.random.default_rng(0).integers(0, 256, (5, channels, 4, 6), np.uint8)
    save_grid(samples, tmp_path / "deep" / "grid.png")
    with Image.open(tmp_path / "deep" / "grid.png") as grid:
        assert (grid.mode, grid.size) == (mode, (18, 8))
        pixels = np.asarray(grid).reshape(8, 18, channels)
    for index, sample in enumerate(samples):
        row, column = divmod(index, 3)
        cell = pixels[4 * row : 4 * row + 4, 6 * column : 6 * column + 6]
        assert np.array_equal(cell.transpose(2, 0, 1), sample)
    assert (pixels[4:, 12:] == 0).all()


def test_other_channels_are_refused():
    with pytest.raises(ValueError, match="1 or 3 channels, not 2"):
        tile(np.zeros((1, 2, 4, 4), np.uint8), 1)


def test_curves_are_drawn_also_over_gaps(tmp_path: Path):
    ticks = [{"examples": n, "stats": {"loss/a": None if n == 2 else n, "logits/real": 1.0}} for n in range(5)]
    (tmp_path / "stats.jsonl").write_text("\n".join(json.dumps(tick) for tick in ticks))
    loss_curves(tmp_path / "stats.jsonl", tmp_path / "losses.png")
    with Image.open(tmp_path / "losses.png") as picture:
        assert picture.size == (800, 900)


def kept(folder: Path) -> dict[str, object]:
    return {path.stem: json.loads(path.read_text("utf-8")) for path in folder.glob("*.json")}


def test_descriptions_are_written_the_same_twice(tmp_path: Path):
    for name in ("a", "b"):
        main(str(tmp_path / name))
    files = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()}
    assert kept(tmp_path / "a") == json.loads(json.dumps(describe()))


def test_a_family_that_is_no_more_is_described_no_more(tmp_path: Path):
    (tmp_path / "gone.json").write_text("{}")
    main(str(tmp_path), "gan")
    assert [path.name for path in tmp_path.iterdir()] == ["gan.json"]


def test_the_descriptions_that_jobs_reads_are_those_of_the_families():
    assert kept(Path(__file__).parents[3] / "jobs" / "families") == json.loads(json.dumps(describe())), (
        "run make schemas"
    )


def test_a_plugin_describes_its_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(plugin.FOLDER))
    described = kept(plugin.FOLDER / "toy_gans" / "families")
    assert described == json.loads(json.dumps(describe(plugin.BY_ENTRY_POINT))), "run make schemas"


def test_background_work_is_done_in_order_and_awaited():
    done: list[int] = []

    def work(number: int) -> None:
        time.sleep(0.01)
        done.append(number)

    with Background() as background:
        for number in range(3):
            background.submit(lambda number=number: work(number))
        background.wait()
        assert done == [0, 1, 2]


def test_background_failures_are_raised_once_they_are_known():
    def fail() -> None:
        raise OSError("disk full")

    with Background() as background:
        background.submit(fail)
        with pytest.raises(OSError, match="disk full"):
            background.wait()
        background.raise_failures()
