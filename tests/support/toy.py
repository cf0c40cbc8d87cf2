"""A toy set of pictures, trainings of seconds on it, and the same trainings by two workers."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from trainers import checkpoint
from trainers.data.pack import pack_arrays
from trainers.data.packed import PackedData, open_packed
from trainers.gan.family import get
from trainers.hooks import NoHooks, Outcome, Tick
from trainers.loop import train
from trainers.monitoring.health import Diverged
from trainers.settings import Settings

SIDE, CLASSES, TOY = 16, 2, 64
BATCH = 16


class StopAfterOneTick(NoHooks):
    """The first tick comes after one step."""

    def __init__(self) -> None:
        self.stats: Mapping[str, float] = {}

    def tick(self, tick: Tick) -> str:
        self.stats = tick.stats
        return "checkpoint_and_stop"


def pictures() -> Iterator[np.ndarray]:
    """Bright on the left or on the right, with a little noise."""
    random = np.random.default_rng(0)
    for index in range(TOY):
        picture = np.full((SIDE, SIDE, 1), 20.0)
        picture[:, : SIDE // 2] = 220
        picture = picture if index % CLASSES == 0 else picture[:, ::-1]
        yield (picture + random.normal(0, 5, picture.shape)).clip(0, 255).astype(np.uint8)


def packed(folder: Path) -> PackedData:
    labels, names = [index % CLASSES for index in range(TOY)], ["left", "right"]
    return pack_arrays(pictures(), labels, folder, count=TOY, source="toy", class_names=names)


def settings(name: str, **changes: Any) -> Settings:
    """A family's tiny() configuration for 6 steps in two groups."""
    values: dict[str, Any] = {
        "family": name,
        "params": get(name).tiny(),
        "examples": 6 * BATCH,
        "batch_size": BATCH,
        "group": BATCH // 2,
        "seed": 0,
        "precision": "fp32",
        "checkpoint_every": 1_000_000,
        "grid_every": 1_000_000,
        "grid_count": 4,
        "threads": 1,
        "device": "cpu",
    }
    return Settings(**(values | changes))


def for_sixty_steps(name: str, params: dict[str, Any]) -> Settings:
    """In float64 and at the family's own learning rates: tiny()'s are so quick that Adam amplifies rounding past 1e-10."""
    return settings(name, params=_without_rates(params), examples=60 * BATCH, precision="fp64")


def _without_rates(params: Any) -> Any:
    if not isinstance(params, dict):
        return params
    return {key: _without_rates(value) for key, value in params.items() if key != "lr"}


def trained(toy: PackedData, workspace: Path, asked: Settings, **more: Any) -> Outcome:
    return train(asked, toy, workspace=workspace, **({"resume": None, "hooks": NoHooks()} | more))


def numbers(folder: Path | None) -> dict[str, torch.Tensor]:
    """Every weight and buffer of a checkpoint."""
    assert folder is not None
    found = checkpoint.load(folder)
    states = {**found.networks, "average": found.average}
    return {f"{network}.{key}": value for network, state in states.items() for key, value in state.items()}


def furthest(one: Path | None, other: Path | None) -> float:
    """The largest difference between two checkpoints; infinite if any number is not finite."""
    left, right = numbers(one), numbers(other)
    assert left.keys() == right.keys()
    gaps = torch.stack([(left[key] - right[key]).abs().max().double() for key in left])
    return float(gaps.nan_to_num(torch.inf).max())


def by_two(asked: Mapping[str, Settings], toy: PackedData, workspace: Path) -> dict[str, Path]:
    """The last checkpoint of each training by two workers, but for those that diverged.

    In one process group, since importing torch takes seconds.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(_rank, (port, dict(asked), toy.folder, workspace), nprocs=2)
    found = {name: sorted((workspace / _folder(name) / "0" / "checkpoints").glob("*")) for name in asked}
    return {name: checkpoints[-1] for name, checkpoints in found.items() if checkpoints}


def _rank(rank: int, port: int, asked: dict[str, Settings], data: Path, workspace: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    for name, wanted in asked.items():
        with suppress(Diverged):  # on both ranks at once: the others go on
            trained(open_packed(data), workspace / _folder(name) / str(rank), wanted)
    dist.destroy_process_group()


def _folder(name: str) -> str:
    return name.replace(":", "-")
