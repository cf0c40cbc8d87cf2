"""`doctor`: every check is made, whatever the others meet, and says what it found."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.cli import checks

NAMES = ["python", "ray", "torch", "names", "user", "home", "files", "temporary", "shared mem", "cpus", "loopback",
         "proxies", "ray settings", "locale", "store", "server"]  # fmt: skip


def found() -> dict[str, tuple[bool, str]]:
    return {name: (ok, text) for name, ok, text in checks.checks()}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GANWORKS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_all_is_well_here_but_the_server_which_is_not_up() -> None:
    assert [name for name, (ok, _) in found().items() if not ok] == ["server"]
    assert list(found()) == NAMES


def test_a_check_that_cannot_be_made_says_why_and_the_others_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> checks.Check:
        raise RuntimeError("what nobody foresaw")

    monkeypatch.setitem(checks._CHECKS, "cpus", broken)
    assert found()["cpus"] == (False, "what nobody foresaw")
    assert list(found()) == NAMES


@pytest.mark.parametrize(
    ("variable", "value", "check", "ok", "said"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:9", "proxies", False, "pip install 'httpx[socks]'"),
        ("http_proxy", "http://127.0.0.1:9", "proxies", True, "for remote data, never for ganworks itself"),
        ("RAY_ADDRESS", "10.1.1.1:6379", "ray settings", True, "RAY_ADDRESS: not for the embedded Ray"),
        ("GANWORKS_STORE", "s3://", "store", False, "no bucket named"),
        ("GANWORKS_STORE", "ftp://x", "store", False, "unknown kind"),
        ("GANWORKS_URL", "http://127.0.0.1:9", "server", False, "GANWORKS_TOKEN"),
        ("GANWORKS_HOME", "/dev/null/home", "home", False, "/dev/null"),
    ],
)
def test_what_is_found_is_told(
    variable: str, value: str, check: str, ok: bool, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    assert found()[check][0] is ok
    assert said in found()[check][1]


def test_the_command_ends_whatever_it_meets(tmp_path: Path) -> None:
    """Names that clash, a store that is none, a temporary folder that is not there, an ASCII terminal: all at once."""
    (tmp_path / "jobs").mkdir()
    env = {"GANWORKS_STORE": "s3://", "TMPDIR": "/nowhere", "PYTHONPATH": str(tmp_path), "PYTHONIOENCODING": "ascii"}
    command = [str(Path(sys.executable).with_name("ganworks")), "doctor"]
    done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr == ""
    assert [line.split("  ")[1].strip() for line in done.stdout.replace("FAIL", "ok  ").splitlines()] != []
    assert len(done.stdout.splitlines()) == len(NAMES)
    assert f"{tmp_path / 'jobs'} bears the name" in done.stdout
