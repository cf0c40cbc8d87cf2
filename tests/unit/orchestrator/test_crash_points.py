"""The server dies at each named point; another one takes over. One run, one end, nothing lost.

All points in this process, where dying is an exception that nothing catches; two of them by a real `os._exit`.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest
from crash_play import Play, live

from orchestrator import crash_points


class Died(BaseException):
    pass


def die(code: int) -> NoReturn:
    raise Died(code)


def check(play: Play) -> None:
    assert play.status == "SUCCEEDED"
    assert play.attempts == ["LOST", "SUCCEEDED"]
    assert play.events.count("succeeded") == 1
    assert play.claims == 2
    assert play.archived


@pytest.mark.parametrize("point", crash_points.POINTS)
def test_a_crash_is_survived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    with monkeypatch.context() as patch:
        patch.setenv(crash_points.VARIABLE, point)
        patch.setattr(crash_points, "leave", die)
        with pytest.raises(Died):
            live(tmp_path)
    check(live(tmp_path))


@pytest.mark.parametrize("point", ["start: after the attempt's row", "finish: after the result"])
def test_a_real_death_is_survived(tmp_path: Path, point: str) -> None:
    play = Path(__file__).parent / "crash_play.py"
    env = {**os.environ, crash_points.VARIABLE: point}
    assert subprocess.run([sys.executable, str(play), str(tmp_path)], env=env, timeout=60).returncode == 137
    check(live(tmp_path))
