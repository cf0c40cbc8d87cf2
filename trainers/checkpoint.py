"""Exact resume: a snapshot as a folder of files that are committed last and checked before they are read.

<network>.safetensors  average-<network>.safetensors  ranks.safetensors
optimizer-<name>.pt  (read with weights_only=True, and only after its digest matched)
state.json             progress, and what a resume must agree with
COMMIT.json            written last: size and sha256 of every file
"""

import hashlib
import json
import os
import platform
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from trainers.snapshot import Snapshot, State

VERSION = 1
COMMIT, STATE = "COMMIT.json", "state.json"
AVERAGE, RANKS = "average-", "ranks"  # AVERAGE: prefix of an averaged network's file
KEPT = 2  # checkpoints that stay in the workspace


class DamagedCheckpoint(ValueError):
    """A checkpoint is not whole; the message names the file."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        super().__init__(f"damaged checkpoint: {path}: {reason}")


def write(folder: Path, snapshot: Snapshot, *, world_size: int, threads: int, processor: str) -> None:
    """Write everything into a folder that takes its name when it is whole."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    _write_files(partial, snapshot)
    commit = {
        "version": VERSION,
        "examples": snapshot.progress["examples"],
        "steps": snapshot.progress["steps"],
        "world_size": world_size,
        "threads": threads,
        "processor": processor,
        "torch": torch.__version__,
        "files": {path.name: _fingerprint(path) for path in sorted(partial.iterdir())},
    }
    (partial / COMMIT).write_text(json.dumps(commit, indent=1), "utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(partial, folder)


def load(folder: Path) -> Snapshot:
    """Read all that `write` was given; DamagedCheckpoint before any file is decoded that is not what was written."""
    files = read_commit(folder)["files"]
    for name, expected in files.items():
        _check_file(folder / name, expected)
    states = {path.stem: load_file(path) for path in _named(folder, files, ".safetensors")}
    ranks = states.pop(RANKS, {})
    return Snapshot(
        averages={name.removeprefix(AVERAGE): state for name, state in states.items() if name.startswith(AVERAGE)},
        ranks=ranks,
        networks={name: state for name, state in states.items() if not name.startswith(AVERAGE)},
        optimizers={
            path.stem.removeprefix("optimizer-"): torch.load(path, map_location="cpu", weights_only=True)
            for path in _named(folder, files, ".pt")
        },
        progress=json.loads((folder / STATE).read_text("utf-8")),
    )


def read_commit(folder: Path) -> dict[str, Any]:
    """Read COMMIT.json; without it there is no checkpoint."""
    path = Path(folder) / COMMIT
    try:
        commit = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise DamagedCheckpoint(path, "missing, and it is written last") from None
    except ValueError as error:
        raise DamagedCheckpoint(path, f"not JSON: {error}") from None
    if not isinstance(commit, dict) or commit.get("version") != VERSION or not isinstance(commit.get("files"), dict):
        raise DamagedCheckpoint(path, f"not of version {VERSION}")
    return commit


def prune(checkpoints: Path, keep: int = KEPT) -> None:
    """Remove all but the newest; names sort by examples."""
    for old in sorted(path for path in checkpoints.iterdir() if not path.name.startswith("."))[:-keep]:
        shutil.rmtree(old)


def forget(checkpoints: Path, *, after: int) -> None:
    """Remove those with more examples: a training that went back left them."""
    for path in checkpoints.glob("[0-9]*"):
        if int(path.name) > after:
            shutil.rmtree(path)


def processor_kind(device: torch.device) -> str:
    """Name the kind of processor: results repeat on the same kind only."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"


def _write_files(folder: Path, snapshot: Snapshot) -> None:
    averages = {f"{AVERAGE}{name}": state for name, state in snapshot.averages.items()}
    for name, state in {**snapshot.networks, **averages}.items():
        save_file(_contiguous(state), folder / f"{name}.safetensors")
    if snapshot.ranks:
        save_file(_contiguous(snapshot.ranks), folder / f"{RANKS}.safetensors")
    for name, state in snapshot.optimizers.items():
        torch.save(state, folder / f"optimizer-{name}.pt")
    (folder / STATE).write_text(json.dumps(snapshot.progress, indent=1), "utf-8")


def _contiguous(state: State) -> State:
    return {name: tensor.contiguous() for name, tensor in state.items()}


def _fingerprint(path: Path) -> dict[str, Any]:
    with open(path, "rb") as file:
        return {"size": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _check_file(path: Path, expected: dict[str, Any]) -> None:
    if path.name != str(path.relative_to(path.parent)) or not path.is_file():
        raise DamagedCheckpoint(path, "missing")
    found = _fingerprint(path)
    for what in ("size", "sha256"):
        if found[what] != expected[what]:
            raise DamagedCheckpoint(path, f"its {what} is {found[what]}, {COMMIT} says {expected[what]}")


def _named(folder: Path, files: dict[str, Any], suffix: str) -> list[Path]:
    return [folder / name for name in sorted(files) if name.endswith(suffix)]
