"""What training costs beside its steps: a checkpoint's stall, a tick, and the loader.

    python -m tests.bench.bench_upkeep [--rounds 15] [--base-channels 64]

A checkpoint's stall (the copy that training waits for, and that it is finite) is compared with a plain copy of the same bytes; a tick with
the time between two ticks; the loader alone with gathering the same rows from memory. One thread.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.bench.bench_engine import BATCH
from tests.support.streams import stream_of
from trainers.data.pack import pack
from trainers.data.packed import PackedData, open_packed
from trainers.data.readers.shapes import Shapes
from trainers.devices import prepare
from trainers.engine import Engine
from trainers.hooks import NoHooks, Tick
from trainers.loop import train
from trainers.monitoring.meter import Clock, Meter
from trainers.randomness.groups import Share
from trainers.settings import Settings

SHARE = Share(batch_size=BATCH, group=32, rank=0, world=1)


def settings(channels: int, **changes: Any) -> Settings:
    values: dict[str, Any] = {
        "family": "dcgan", "params": {"base_channels": channels}, "examples": 10**9, "batch_size": BATCH, "group": 32,
        "seed": 0, "precision": "fp32", "checkpoint_every": 10**9, "grid_every": 10**9, "grid_count": 1, "threads": 1,
        "device": "cpu",
    }  # fmt: skip
    return Settings(**(values | changes))


def timed(action: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [tensor for item in inner for tensor in tensors(item)]


def stall(data: PackedData, channels: int, rounds: int) -> None:
    asked = settings(channels)
    device = prepare("cpu", 1)
    engine = Engine(asked.build_family(data), asked, SHARE, device)
    stream = stream_of(data, SHARE, seed=0, device=device, dtype=torch.float32)
    engine.step(0, 0, stream, Meter(device), Clock(), measure=False)
    found = engine.snapshot({})
    state = tensors([*found.networks.values(), *found.averages.values(), found.ranks, found.optimizers])
    size = sum(tensor.nbytes for tensor in state)
    pairs = [
        (timed(lambda: engine.snapshot({}).is_finite), timed(lambda: [torch.empty_like(t).copy_(t) for t in state]))
        for _ in range(rounds)
    ]
    ratio = statistics.median(ours / plain for ours, plain in pairs)
    print(
        f"checkpoint stall / copy of its {size / 2**20:.0f} MiB: {ratio:.2f}  ({1e3 * statistics.median(p[0] for p in pairs):.0f} ms)"
    )


class Collected(NoHooks):
    def __init__(self) -> None:
        self.ticks: list[Tick] = []

    def tick(self, tick: Tick) -> str:
        self.ticks.append(tick)
        return "continue"


def ticks(data: PackedData, channels: int, folder: Path) -> None:
    hooks = Collected()
    train(settings(channels, examples=12_800), data, workspace=folder, resume=None, hooks=hooks)
    steady = hooks.ticks[len(hooks.ticks) // 2 :]
    spent = sum(tick.activity_seconds.get("tick", 0.0) for tick in steady)
    seconds = steady[-1].seconds - hooks.ticks[len(hooks.ticks) // 2 - 1].seconds
    print(
        f"ticks: {100 * spent / seconds:.2f} % of the time between them ({1e3 * spent / len(steady):.1f} ms each, sample statistics for health included)"
    )


def loader(data: PackedData, rounds: int, batches: int = 200) -> None:
    stream = stream_of(data, SHARE, seed=0, device=torch.device("cpu"), dtype=torch.float32)
    memory = np.array(data.samples)
    orders = [np.random.default_rng(n).permutation(data.count)[:BATCH] for n in range(batches)]

    def from_memory() -> None:
        for order in orders:
            torch.from_numpy(memory[order]).float().div_(127.5).sub_(1).contiguous(memory_format=torch.channels_last)

    def from_loader() -> None:
        for n in range(batches):
            stream.batch(n * BATCH)

    pairs = [(timed(from_loader), timed(from_memory)) for _ in range(rounds)]
    ratio = statistics.median(plain / ours for ours, plain in pairs)
    rate = batches * BATCH / statistics.median(p[0] for p in pairs)
    print(f"loader / gathering from memory: {ratio:.2f}  ({rate:,.0f} pictures/s of {data.shape})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--base-channels", type=int, default=64)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        pack(Shapes(count=20_000), Path(folder) / "data", resolution=32)
        data = open_packed(Path(folder) / "data")
        stall(data, options.base_channels, options.rounds)
        loader(data, options.rounds)
        ticks(data, options.base_channels // 4, Path(folder) / "work")


if __name__ == "__main__":
    main()
