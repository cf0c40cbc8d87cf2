"""A toy set of pictures, trainings of seconds on it, and the same trainings by two workers."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from tests.support.plugin import find_helper
from trainers import checkpoint
from trainers.data.inputs import Data
from trainers.data.pack import pack_arrays
from trainers.data.packed import PackedData, open_packed
from trainers.gan.registry import get
from trainers.hooks import Command, NoHooks, Outcome, Tick
from trainers.loop import train
from trainers.monitoring.health import Diverged
from trainers.settings import Settings

SIDE, CLASSES, TOY, UNPAIRED = 16, 2, 64, 40
BATCH = 16


class StopAfterOneTick(NoHooks):
    """Stops at the first tick from so many steps on; the first one comes after one step."""

    def __init__(self, steps: int = 1) -> None:
        self.steps = steps
        self.stats: Mapping[str, float] = {}

    def tick(self, tick: Tick) -> Command:
        self.stats = tick.stats
        return "checkpoint_and_stop" if tick.steps >= self.steps else "continue"


def pictures() -> Iterator[np.ndarray]:
    """Bright on the left or on the right, with a little noise."""
    random = np.random.default_rng(0)
    for index in range(TOY):
        picture = np.full((SIDE, SIDE, 1), 20.0)
        picture[:, : SIDE // 2] = 220
        picture = picture if index % CLASSES == 0 else picture[:, ::-1]
        yield (picture + random.normal(0, 5, picture.shape)).clip(0, 255).astype(np.uint8)


def packed(folder: Path, count: int = TOY, *, dark: bool = False) -> PackedData:
    """dark: the same pictures with black and white changed over."""
    labels, names = [index % CLASSES for index in range(count)], ["left", "right"]
    chosen = (255 - picture if dark else picture for picture in islice(pictures(), count))
    return pack_arrays(chosen, labels, folder, count=count, source="toy", class_names=names)


def inputs_of(name: str, folder: Path) -> dict[str, PackedData]:
    """A set for each input of a family: those that are paired are equally large, others are not."""
    sets = {}
    for number, each in enumerate(get(name).inputs()):
        count = TOY if number == 0 or each.paired_with else UNPAIRED
        place = folder / f"{count}-{number % 2}"
        sets[each.name] = open_packed(place) if place.exists() else packed(place, count, dark=bool(number % 2))
    return sets


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


def trained(toy: Data, workspace: Path, asked: Settings, **more: Any) -> Outcome:
    options = {"resume": None, "hooks": NoHooks(), "find_helper": find_helper} | more
    return train(asked, toy, workspace=workspace, **options)


def numbers(folder: Path | None) -> dict[str, torch.Tensor]:
    """Every weight and buffer of a checkpoint."""
    assert folder is not None
    found = checkpoint.load(folder)
    states = {**found.networks, **{f"average-{name}": state for name, state in found.averages.items()}}
    return {f"{network}.{key}": value for network, state in states.items() for key, value in state.items()}


def furthest(one: Path | None, other: Path | None) -> float:
    """The largest difference between two checkpoints; infinite if any number is not finite."""
    left, right = numbers(one), numbers(other)
    assert left.keys() == right.keys()
    gaps = torch.stack([(left[key] - right[key]).abs().max().double() for key in left])
    return float(gaps.nan_to_num(torch.inf).max())


def by_two(asked: Mapping[str, Settings], toy: Mapping[str, Data], workspace: Path) -> dict[str, Path]:
    """The last checkpoint of each training by two workers, but for those that diverged.

    In one process group, since importing torch takes seconds.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folders = {name: _folders(data) for name, data in toy.items()}
    mp.spawn(_rank, (port, dict(asked), folders, workspace), nprocs=2)
    found = {name: sorted((workspace / _folder(name) / "0" / "checkpoints").glob("*")) for name in asked}
    return {name: checkpoints[-1] for name, checkpoints in found.items() if checkpoints}


def _folders(data: Data) -> Path | dict[str, Path]:
    return data.folder if isinstance(data, PackedData) else {name: own.folder for name, own in data.items()}


def _opened(folders: Path | dict[str, Path]) -> Data:
    if isinstance(folders, Path):
        return open_packed(folders)
    return {name: open_packed(folder) for name, folder in folders.items()}


def _rank(
    rank: int, port: int, asked: dict[str, Settings], folders: dict[str, Path | dict[str, Path]], workspace: Path
) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    for name, wanted in asked.items():
        with suppress(Diverged):  # on both ranks at once: the others go on
            trained(_opened(folders[name]), workspace / _folder(name) / str(rank), wanted)
    dist.destroy_process_group()


def _folder(name: str) -> str:
    return name.replace(":", "-")
