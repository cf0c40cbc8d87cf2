"""`ganworks data inspect`: what a job would train on, as the command itself."""

import json
import os
import subprocess
import sys
from pathlib import Path

from PIL import Image

from tests.support import sources
from tests.support.sources import png


def inspect(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "GANWORKS_HOME": str(tmp_path / "home")}
    command = [str(Path(sys.executable).with_name("ganworks")), "data", "inspect", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, cwd=tmp_path)


def test_what_would_be_used_is_shown(tmp_path: Path) -> None:
    files = {f"cat/{n}.png": png(n) for n in range(4)} | {f"dog/{n}.png": png(n) for n in range(2)}
    sources.folder(tmp_path / "pets", files | {"cat/notes.txt": b"x", "cat/9.png": png(9, (20, 8))})
    said = inspect(tmp_path, "./pets", "--resolution", "8", "--sheet", "sheet.png")
    assert said.returncode == 0, said.stderr
    lines = said.stdout.splitlines()
    assert lines[0] == "pets: 7 pictures of 8x8, 1 channel, uint8"
    assert [line.split() for line in lines[1:3]] == [["cat", "#" * 40, "5"], ["dog", "#" * 16, "2"]]
    assert lines[3:] == [
        "sizes: 6 kept, 1 cropped",
        "left out: 1 not a picture (.txt): cat/notes.txt",
        "contact sheet: sheet.png",
    ]
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (24, 24)
    about = json.loads(inspect(tmp_path, "pets", "--resolution", "8", "-o", "json").stdout)
    assert (about["used"], about["by_class"]) == (7, {"cat": 5, "dog": 2})
    assert Path(about["contact_sheet"]).is_file()


def test_what_is_wrong_is_one_line(tmp_path: Path) -> None:
    sources.folder(tmp_path / "both", {"1.png": png()})
    sources.shards(tmp_path / "both" / "old.tar", [0])
    said = inspect(tmp_path, "both")
    assert (said.returncode, said.stderr.count("\n")) == (2, 1)
    assert "pictures (1, such as 1.png) and tars (1, such as old.tar)" in said.stderr
    assert inspect(tmp_path, "both", "--format", "pictures").returncode == 0
    assert "--fit: Input should be 'crop', 'pad' or 'stretch'" in inspect(tmp_path, "both", "--fit", "squash").stderr
    assert "did you mean 'fashion-mnist'" in inspect(tmp_path, "fashion-mnits").stderr
