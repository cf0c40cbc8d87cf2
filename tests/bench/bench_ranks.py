"""Two ranks over twice one rank, at the same batch per rank: what data parallel costs.

    python -m tests.bench.bench_ranks [--rounds 12] [--steps 4] [--base-channels 32] [--batch 64]

Contestants take turns within one run: one rank alone; two ranks that know nothing of each other, at once, which is
what the machine can give; and two ranks of one training.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from tests.bench.bench_engine import BATCH, RESOLUTION, engine_steps
from trainers.data.pack import pack
from trainers.data.packed import open_packed
from trainers.data.readers.shapes import Shapes
from trainers.settings import Settings


def settings(options: argparse.Namespace, batch: int) -> Settings:
    return Settings(
        family="dcgan", params={"base_channels": options.base_channels}, examples=10**9, batch_size=batch, group=32,
        seed=0, precision="fp32", checkpoint_every=10**9, grid_every=10**9, grid_count=1, threads=1, device="cpu",
    )  # fmt: skip


def rank_main(rank: int, options: argparse.Namespace, folder: str) -> None:
    torch.set_num_threads(1)
    data = open_packed(Path(folder) / "data")
    batch = options.batch
    single = engine_steps(settings(options, batch), data, batch)  # before there is a process group: of its own
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    pair = engine_steps(settings(options, 2 * batch), data, 2 * batch)
    contestants = {"alone": single, "at once": single, "together": pair}
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for steps in (single, pair):
        steps(3)
    for _ in range(options.rounds):
        for name, steps in contestants.items():
            dist.barrier()
            begun = time.perf_counter()
            if name != "alone" or rank == 0:
                steps(options.steps)
            dist.barrier()
            rates[name].append(options.steps * batch / (time.perf_counter() - begun))
    if rank == 0:
        report(options, rates)
    dist.destroy_process_group()


def report(options: argparse.Namespace, rates: dict[str, list[float]]) -> None:
    """rates: examples a second of one rank."""
    print(", ".join(f"{name} {statistics.median(each):.0f} examples/s a rank" for name, each in rates.items()))
    for name in ("alone", "at once"):
        ratio = statistics.median(two / one for two, one in zip(rates["together"], rates[name], strict=True))
        print(f"two ranks / twice one rank {name}: {ratio:.3f}  (medians of {options.rounds} rounds)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--steps", type=int, default=4, help="in a round")
    parser.add_argument("--base-channels", type=int, default=32)
    parser.add_argument("--batch", type=int, default=BATCH, help="of a rank")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pack(Shapes(count=2000), Path(folder) / "data", resolution=RESOLUTION, channels=1)
        mp.spawn(rank_main, (options, folder), nprocs=2)


if __name__ == "__main__":
    main()
