"""One environment played: a folder of its own, a command started in it, what became of it, and what it left running."""

import contextlib
import ctypes
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

GANWORKS = str(Path(sys.executable).with_name("ganworks"))
TINY = """\
kind: train
name: tiny
model: {family: gan, params: {generator_widths: [16], discriminator_widths: [16]}}
data: {source: ring}
train: {examples: 640, batch_size: 64, checkpoint: {every: 640}}
resources: {workers: 1}
retry: {limit: 0}
"""
PATIENCE = 900.0  # seconds that one may take before it counts as stuck
_SUBREAPER = 36  # prctl: orphans of ours become our children, so that none that is left running is missed


@dataclass(kw_only=True)
class Scene:
    """Where an environment is played. `prepare` of an environment may change all of it."""

    folder: Path
    env: dict[str, str]
    prefix: list[str] = field(default_factory=list)  # what the command is run under, such as `setpriv …`
    command: list[str] = field(default_factory=list)
    cwd: Path = Path("/")
    text: str = TINY
    at_end: list[Callable[[], object]] = field(default_factory=list)

    @property
    def home(self) -> Path:
        return (
            Path(self.env["GANWORKS_HOME"]) if self.env.get("GANWORKS_HOME") else Path(self.env["HOME"]) / ".ganworks"
        )

    @property
    def file(self) -> Path:
        return self.folder / "jobs.yaml"

    def begin(self, **options: object) -> subprocess.Popen[str]:
        """Start the command; its output goes to files, which no pipe can fill."""
        streams = {"stdin": subprocess.DEVNULL, "stdout": self.out.open("w"), "stderr": self.err.open("w")}
        return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
            [*self.prefix, *self.command], env=self.env, cwd=self.cwd, start_new_session=True, **(streams | options)
        )

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def err(self) -> Path:
        return self.folder / "err"

    def said(self) -> str:
        return "".join(path.read_text(errors="replace") for path in (self.out, self.err) if path.exists())

    def checkpoints(self) -> list[Path]:
        return sorted(self.home.glob("store/*/tiny/*/checkpoints/*/COMMIT.json"))

    def models(self) -> list[Path]:
        return sorted(self.home.glob("store/*/tiny/*/model/generator.safetensors"))

    def status(self) -> str:
        """What the database says of the newest job."""
        with contextlib.closing(sqlite3.connect(self.home / "ganworks.db")) as database:
            return str(database.execute("SELECT status FROM jobs ORDER BY id DESC").fetchone()[0])

    def wait_until(self, condition: Callable[[], object], running: subprocess.Popen[str]) -> None:
        """Wait for what is meant; fails if the command ends first, or nothing comes of it."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert running.poll() is None, f"ended too early: {self.said()[-2000:]}"
            assert time.monotonic() < deadline, f"it did not come about: {self.said()[-2000:]}"
            time.sleep(0.1)


def make(folder: Path, env: Mapping[str, str], text: str) -> Scene:
    """A scene with the settings of whoever runs this taken away."""
    folder.mkdir(parents=True, mode=0o755)
    plain = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", "GANWORKS_HOME": str(folder / "home")}
    scene = Scene(folder=folder, env={**plain, **env}, text=text, cwd=folder)
    scene.command = [GANWORKS, "run", str(scene.file)]
    scene.file.write_text(text, "utf-8")
    return scene


def adopt_orphans() -> None:
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)


def left_running() -> list[str]:
    """What still lives of all that was started, after a moment's grace for what is just going; it is ended then."""
    deadline = time.monotonic() + 5
    while (alive := _alive()) and time.monotonic() < deadline:
        time.sleep(0.1)
    names = [_title(process) for process in alive]
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    _reap()
    return names


def _alive() -> list[psutil.Process]:
    _reap()
    return [each for each in psutil.Process().children(recursive=True) if each.status() != psutil.STATUS_ZOMBIE]


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _title(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())[:80]
    return "?"


def end(process: subprocess.Popen[str]) -> int:
    """Return the exit code as a shell tells it; one that is stuck is killed."""
    try:
        code = process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise AssertionError(f"stuck for {PATIENCE:.0f} s") from None
    return 128 - code if code < 0 else code
