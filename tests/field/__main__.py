"""`python -m tests.field [WORD …]`: play every environment, or those whose kind or name has one of the words; print the table.

An environment is right when its job succeeds (or is suspended, where it was told to end), or when the command ends with
one line that names the cause; and when nothing of it is left running.
"""

import contextlib
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.field import scene as scenes
from tests.field.environments import Environment, everything
from tests.field.machine import Impossible
from tests.field.scene import Scene

Row = tuple[str, str, str, str, str]


def main(words: list[str]) -> int:
    scenes.adopt_orphans()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell's background job ignores it
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # and `nohup` this one
    chosen = chosen_by(words)
    rows = []
    with tempfile.TemporaryDirectory(prefix="field-") as folder:
        Path(folder).chmod(0o755)
        for number, environment in enumerate(chosen):
            rows.append(play(environment, Path(folder) / str(number)))
            print("  ".join(rows[-1]), flush=True)
    print_table(rows)
    wrong = [row for row in rows if row[2] == "WRONG"]
    print(f"\n{len(rows)} environments, {len(wrong)} wrong")
    return bool(wrong)


def chosen_by(words: list[str]) -> list[Environment]:
    """Return the environments that are meant, in the order of the words; all without any."""
    every = everything()
    found = [each for word in words for each in every if word == each.kind or word in each.name]
    return list({each.name: each for each in found or every}.values())


def play(environment: Environment, folder: Path) -> Row:
    began, scene = time.monotonic(), scenes.make(folder, environment.env, environment.text)
    try:
        ended, said = "right", _played(environment, scene)
    except Impossible as error:
        ended, said = "not here", str(error)
    except Exception as error:
        ended, said = "WRONG", f"{type(error).__name__}: {error}\n{scene.said()[-3000:]}"
    finally:
        for undo in reversed(scene.at_end):
            with contextlib.suppress(Exception):
                undo()
        left = scenes.left_running()
    if left and ended == "right":
        ended, said = "WRONG", f"{len(left)} processes are left, such as {left[0]}"
    return environment.kind, environment.name, ended, f"{time.monotonic() - began:.0f} s", said


def _played(environment: Environment, scene: Scene) -> str:
    environment.prepare(scene)
    code, noted = environment.act(scene)
    said = scene.said()
    assert code in environment.codes, f"exit code {code}, not {environment.codes}"
    assert "Traceback" not in said, "a traceback"
    assert "a fault of ganworks" not in said, "it takes the blame"
    if environment.said:
        lines = [line for line in said.splitlines() if environment.said in line]
        assert lines, f"nothing says {environment.said!r}"
        return f"{code}: {lines[-1].replace(str(scene.folder), '…')}"
    if code == 0 and environment.is_heard and scene.command[1:2] != ["down"]:
        _succeeded(scene, said)
    return f"{code}: {noted or 'SUCCEEDED'}"


def _succeeded(scene: Scene, said: str) -> None:
    assert "SUCCEEDED" in said, "no job succeeded"
    if "GANWORKS_STORE" not in scene.env:
        assert scene.models(), "no model"
    assert "FAILED" not in said, "a job failed"


def print_table(rows: list[Row]) -> None:
    heads = ("kind", "environment", "ended", "took", "exit code: what it said")
    short = [tuple(cell.splitlines()[0][:140] if cell else "" for cell in row) for row in [heads, *rows]]
    widths = [max(len(row[column]) for row in short) for column in range(len(heads))]
    print(f"\nPython {sys.version.split()[0]}, {os.cpu_count()} cores")
    for row in short:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
