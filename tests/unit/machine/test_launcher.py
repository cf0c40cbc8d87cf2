"""The launcher: our packages come first, whoever else has their names; a clash is named."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import ganworks_launcher

CODE = "import ganworks_launcher as g; g.begin(); import jobs, orchestrator, trainers; print(jobs.__file__)"


def python(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", *arguments], env={**os.environ, **env}, capture_output=True, text=True, timeout=60
    )


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """Code of a user's own, under our names; whoever imports it ends."""
    for name in ("jobs", "orchestrator"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('not the one that was meant')")
    (tmp_path / "trainers.py").write_text("raise SystemExit('not the one that was meant')")
    return tmp_path


def test_our_packages_are_taken_before_those_of_the_path(mine: Path) -> None:
    done = python("-c", CODE, PYTHONPATH=str(mine))
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == ganworks_launcher.ROOT / "jobs" / "__init__.py"


def test_the_search_path_is_left_as_it_was(mine: Path) -> None:
    code = (
        "import sys; before = list(sys.path); import ganworks_launcher as g; g.take_names(); print(before == sys.path)"
    )
    assert python("-c", code, PYTHONPATH=str(mine)).stdout == "True\n"


def test_the_command_works_beside_them(mine: Path) -> None:
    command = Path(sys.executable).with_name("ganworks")
    done = subprocess.run(
        [command, "version"], env={**os.environ, "PYTHONPATH": str(mine)}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_each_clash_is_named(mine: Path) -> None:
    code = "import ganworks_launcher as g; print('\\n'.join(g.clashes()))"
    said = python("-c", code, PYTHONPATH=str(mine)).stdout
    for name in ("jobs", "orchestrator", "trainers.py"):
        assert f"{mine / name} bears the name of a package of ganworks" in said


def test_without_a_clash_nothing_is_said(tmp_path: Path) -> None:
    code = "import ganworks_launcher as g; print(list(g.clashes()))"
    assert python("-c", code, PYTHONPATH=f"{ganworks_launcher.ROOT}:{tmp_path}").stdout == "[]\n"


def test_a_module_is_run_by_name_and_told_of_clashes(mine: Path) -> None:
    done = python("-m", "ganworks_launcher", "jobs.run", PYTHONPATH=str(mine))
    assert "KeyError: 'GANWORKS_URL'" in done.stderr  # ours, which wants to know its server
    assert f"{mine / 'jobs'} bears the name" in done.stderr


def test_the_environment_is_settled_for_children() -> None:
    code = "import ganworks_launcher as g, os; g.begin(); print(os.environ['NO_PROXY'], os.environ['PYTHONUTF8'])"
    done = python("-c", code, NO_PROXY="[::1],example.com", no_proxy="", PYTHONUTF8="0")
    assert done.stdout == "::1,example.com,localhost,127.0.0.1 1\n"
