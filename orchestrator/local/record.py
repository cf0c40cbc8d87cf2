"""What is running, on disk: written by `up` and `run`, read by `down`, by the command line, and after a crash."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from orchestrator.local import processes

NAME = "stack.json"


@dataclass(frozen=True, kw_only=True)
class Record:
    stack: str  # the mark of its processes
    pid: int  # of the keeper
    created: float  # when that process began, against pids given away again
    url: str
    ray_url: str
    ray_ports: dict[str, int]
    folder: str = ""  # of Ray's sessions, removed at the end; empty: of a stack from before it was kept

    @property
    def keeper_is_alive(self) -> bool:
        return processes.is_alive(self.pid, self.created)


def path(home: Path) -> Path:
    return home / NAME


def read(home: Path) -> Record | None:
    try:
        return Record(**json.loads(path(home).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def write(home: Path, record: Record) -> None:
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path(home).with_suffix(".partial")
    draft.write_text(json.dumps(asdict(record), indent=1))
    os.replace(draft, path(home))


def remove(home: Path) -> None:
    path(home).unlink(missing_ok=True)
