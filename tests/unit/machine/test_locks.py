"""Locks: one process of a machine has each, also where the file system knows none."""

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs import locks

HOLD = "import sys; from pathlib import Path; from jobs import locks; locks.take(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"


@pytest.fixture(params=["with locks", "without"])
def path(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A path to lock, on a file system that has locks, and on one that refuses them."""
    place = tmp_path / "folder" / "lock"
    if request.param == "without":
        real = fcntl.flock

        def flock(file: int, operation: int) -> None:
            if os.readlink(f"/proc/self/fd/{file}") == str(place):
                raise OSError(errno.ENOLCK, "No locks available")
            real(file, operation)

        monkeypatch.setattr(fcntl, "flock", flock)
    return place


def test_one_has_it(path: Path) -> None:
    with locks.held(path), pytest.raises(locks.Held), locks.held(path, wait=False):
        pass
    with locks.held(path, wait=False):
        pass


def test_an_error_within_lets_it_go(path: Path) -> None:
    with pytest.raises(KeyError), locks.held(path):
        raise KeyError
    os.close(locks.take(path, wait=False))


def test_it_goes_with_a_process_that_is_killed(tmp_path: Path) -> None:
    place = tmp_path / "lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(locks.Held):
        locks.take(place, wait=False)
    holder.kill()
    holder.communicate()
    os.close(locks.take(place, wait=False))


def test_two_paths_are_two_locks_also_by_their_substitutes(tmp_path: Path) -> None:
    assert locks.substitute(tmp_path / "a") != locks.substitute(tmp_path / "b")
    assert locks.substitute(tmp_path / "a") == locks.substitute(tmp_path / "a")


def test_what_else_is_wrong_is_told(tmp_path: Path) -> None:
    (tmp_path / "folder").touch()
    with pytest.raises(OSError, match="folder"):
        locks.take(tmp_path / "folder" / "lock")
