"""`ganworks run`: everything embedded; Ctrl-C takes a checkpoint, the same command goes on, nothing is left running."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from orchestrator.local import processes, record
from tests.support.works import GANWORKS, PATIENCE

TEXT = """\
kind: train
name: shapes
model: {family: dcgan, params: {base_channels: 8, ema: {half_life: 500}}}
data: {source: shapes, resolution: 16}
train: {examples: 200k, batch_size: 64, checkpoint: {every: 2k}}
resources: {workers: 2}
---
kind: generate
name: pictures
model: {from: shapes}
samples: 200
resources: {workers: 1}
"""


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RAY_"))}
    env |= {"GANWORKS_HOME": str(folder / "home"), **hostile(folder)}
    return subprocess.Popen(
        [*GANWORKS, "run", *options, str(folder / "jobs.yaml")],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def hostile(folder: Path) -> dict[str, str]:
    """A shell that is set to a proxy, to another Ray, and to code of its user's that has our names."""
    dead = "http://127.0.0.1:9"
    for name in ("jobs", "orchestrator", "trainers"):
        (folder / "mine" / name).mkdir(parents=True, exist_ok=True)
        (folder / "mine" / name / "__init__.py").write_text("raise SystemExit('not the one that was meant')")
    return {
        "RAY_ADDRESS": "10.255.255.1:6379", "RAY_AUTH_TOKEN": "of-another", "PYTHONPATH": str(folder / "mine"),
        "http_proxy": dead, "https_proxy": dead, "ALL_PROXY": "socks5://127.0.0.1:9", "NO_PROXY": "[::1]",
        "TMPDIR": "/nowhere", "LANG": "C",
    }  # fmt: skip


def open_to_all(stack: str) -> list[str]:
    """Where a stack listens beyond loopback."""
    found = []
    for process in processes.marked(stack):
        with contextlib.suppress(psutil.Error):
            listening = [each.laddr for each in process.net_connections() if each.status == "LISTEN"]
            found += [f"{ip}:{port}" for ip, port in listening if not ip.endswith("127.0.0.1") and ip != "::1"]
    return found


def checkpoints(folder: Path) -> list[Path]:
    return sorted((folder / "home" / "store").glob("default/shapes/*/checkpoints/*/COMMIT.json"))


def wait_for_checkpoint(folder: Path, running: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not checkpoints(folder):
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Run, Ctrl-C in the middle, run again with a shorter job."""
    folder = tmp_path_factory.mktemp("run") / "it's-here"
    folder.mkdir()
    (folder / "jobs.yaml").write_text(TEXT)
    first = start(folder)
    wait_for_checkpoint(folder, first)
    kept = record.read(folder / "home")
    assert kept
    started, wide = list(processes.marked(kept.stack)), open_to_all(kept.stack)
    os.killpg(first.pid, signal.SIGINT)  # as a terminal does: to the whole group
    out, err = first.communicate(timeout=PATIENCE)
    left = [process for process in started if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    stopped_at = int(checkpoints(folder)[-1].parent.name.split("-")[0])
    second = start(folder)
    deadline = time.monotonic() + PATIENCE
    while int(checkpoints(folder)[-1].parent.name.split("-")[0]) == stopped_at:
        assert second.poll() is None, second.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    kept_again = record.read(folder / "home")
    assert kept_again
    second.send_signal(signal.SIGKILL)  # the keeper is gone; its Ray and its server are not
    second.communicate()
    orphans = len(list(processes.marked(kept_again.stack)))
    (folder / "jobs.yaml").write_text(TEXT.replace("200k", "1k").replace("2k}", "1k}"))
    third = start(folder, "--fresh")
    third_out, third_err = third.communicate(timeout=PATIENCE)
    return {
        "folder": folder, "first": (first.returncode, out, err), "left": left, "wide": wide, "stopped_at": stopped_at,
        "orphans": orphans, "third": (third.returncode, third_out, third_err), "stack": kept_again.stack,
    }  # fmt: skip


def test_ctrl_c_takes_a_checkpoint_and_leaves_nothing(story: dict[str, object]) -> None:
    code, _, err = story["first"]  # type: ignore[misc]
    assert code == 130, err
    assert "goes on from here" in err
    assert "Traceback" not in err
    assert story["left"] == []


def test_after_a_killed_run_the_next_one_cleans_up_and_works(story: dict[str, object]) -> None:
    assert story["orphans"]
    code, out, err = story["third"]  # type: ignore[misc]
    assert code == 0, out + err
    assert "SUCCEEDED" in out
    assert not list(processes.marked(str(story["stack"])))
    assert not (story["folder"] / "home" / "stack.json").exists()  # type: ignore[operator]


def test_nothing_of_it_listens_but_on_loopback(story: dict[str, object]) -> None:
    assert story["wide"] == []


def test_nothing_of_it_runs_on(story: dict[str, object]) -> None:
    home = str(story["folder"])
    mine = [p.pid for p in psutil.process_iter() if home in " ".join(_command_line(p))]
    assert mine == []


def test_data_and_model_are_where_the_table_says(story: dict[str, object]) -> None:
    _, out, _ = story["third"]  # type: ignore[misc]
    places = [line.split()[-1] for line in out.splitlines() if line.split() and line.split()[-1].startswith("/")]
    assert len(places) >= 5
    assert all(Path(place).exists() for place in places)


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
