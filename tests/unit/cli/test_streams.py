"""The command between pipes, terminals and disks: what it reads, what it writes, and how it ends where that fails."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.cli import output

GANWORKS = str(Path(sys.executable).with_name("ganworks"))
JOB = "kind: train\nname: tiny\nmodel: {family: gan}\ndata: {source: SOURCE}\ntrain: {examples: 640, batch_size: 64}\n"


def shell(line: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """A line of bash, in which `ganworks` is the installed command."""
    (folder / "jobs.yaml").write_text(JOB.replace("SOURCE", "ring"))
    plain = {"PATH": f"{Path(GANWORKS).parent}:{os.environ['PATH']}", "GANWORKS_HOME": str(folder / "home"), **env}
    return subprocess.run(["bash", "-c", line], env=plain, cwd=folder, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    "line",
    [
        "ganworks validate - < jobs.yaml",
        "cat jobs.yaml | ganworks validate -",
        "cat jobs.yaml | ganworks validate /dev/stdin",
        "ganworks validate <(cat jobs.yaml)",
        "mkfifo pipe; cat jobs.yaml > pipe & ganworks validate pipe",
    ],
)
def test_a_file_may_come_through_a_pipe(line: str, tmp_path: Path) -> None:
    done = shell(line, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "tiny  train" in done.stdout


def test_a_text_from_a_pipe_is_read_once_and_its_mistakes_have_their_lines(tmp_path: Path) -> None:
    done = shell("sed s/ring/rong/ jobs.yaml | ganworks submit --dry-run -", tmp_path)
    assert done.returncode == 2
    assert "/dev/stdin:4: data.source" in done.stderr


def test_relative_data_of_a_piped_file_starts_here(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    done = shell("sed s-ring-./pictures- jobs.yaml | ganworks validate - -o json", tmp_path)
    assert json.loads(done.stdout)[0]["data"]["source"] == str(tmp_path / "pictures"), done.stderr


@pytest.mark.parametrize("command", ["schema", "families -o json", "--help"])
def test_a_reader_that_leaves_is_no_failure(command: str, tmp_path: Path) -> None:
    done = shell(f"ganworks {command} | true; echo ${{PIPESTATUS[0]}}", tmp_path)
    assert done.stdout in ("0\n", "141\n")
    assert done.stderr == ""


@pytest.mark.parametrize("command", ["schema", "version", "families", "validate jobs.yaml"])
def test_a_full_disk_is_told_in_a_line(command: str, tmp_path: Path) -> None:
    done = shell(f"ganworks {command} > /dev/full", tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "No space left on device" in done.stderr


def test_nobody_to_hear_an_error_changes_no_exit_code(tmp_path: Path) -> None:
    for way in ("2>&-", "2>/dev/full", "2> >(true)"):
        assert shell(f"ganworks validate nowhere.yaml {way}; echo $?", tmp_path).stdout == "2\n", way


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_a_terminal_cannot_show_is_shown_as_its_code(
    encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "Ωmega…"
    (tmp_path / f"{name}.yaml").write_text(JOB.replace("SOURCE", "ring").replace("tiny", "tiny!"))
    done = subprocess.run(
        [GANWORKS, "validate", f"{name}.yaml"], cwd=tmp_path, capture_output=True, timeout=60,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )  # fmt: skip
    assert done.returncode == 2
    assert (name.encode() in done.stderr) == (encoding == "utf-8")
    assert b"\\u03a9mega" in done.stderr or encoding == "utf-8"
    assert b"Error" not in done.stderr


def test_a_closed_terminal_is_no_reason_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(sys, "stderr", Closed())
    output.note("stopping with a checkpoint")


@pytest.mark.parametrize(("token", "code"), [("abc\n", 3), (" abc ", 3), ("abc\ndef", 4), ("schlüssel", 4)])
def test_a_token_is_stripped_and_a_broken_one_is_named(token: str, code: int, tmp_path: Path) -> None:
    done = shell("ganworks list", tmp_path, GANWORKS_URL="http://127.0.0.1:9", GANWORKS_TOKEN=token)
    assert done.returncode == code, done.stderr  # 3: the server is not there, which was asked with a fine token
    assert ("GANWORKS_TOKEN" in done.stderr) == (code == 4)
    assert "fault of ganworks" not in done.stderr


def test_families_are_listed_in_their_order(tmp_path: Path) -> None:
    listed = [line.split()[0] for line in shell("ganworks families", tmp_path).stdout.splitlines()[1:]]
    assert listed == sorted(listed)
    assert len(listed) >= 10


def test_what_the_machine_refuses_is_no_fault_of_ganworks(tmp_path: Path) -> None:
    done = shell("ganworks run jobs.yaml", tmp_path, GANWORKS_HOME="/dev/null/home")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "/dev/null" in done.stderr
    assert "fault of ganworks" not in done.stderr
