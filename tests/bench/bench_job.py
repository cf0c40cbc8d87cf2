"""Examples a second of a whole ganworks training job, beside a bare PyTorch loop of the same networks, batch and threads.

    python -m tests.bench.bench_job [--examples 40000]

The bare loop runs before and after the job, so that a machine that slows down or speeds up disturbs both. The job's
rate is what its users get: ticks, grids and checkpoints included, from the first tick to the last.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from orchestrator.cli import follow
from orchestrator.cli.client import Client
from orchestrator.local import Stack
from tests.bench.bench_engine import BATCH, RESOLUTION, BareLoop
from trainers.data.pack import pack
from trainers.data.packed import open_packed
from trainers.data.shapes import Shapes

WORKERS, CHANNELS = 2, 32
WARM_UP = 20  # steps


def bare_rank(rank: int, folder: str, steps: int) -> None:
    torch.set_num_threads(1)
    store = f"file://{folder}/store-{steps}-{Path(folder, 'round').read_text()}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=WORKERS)
    loop = BareLoop({"base_channels": CHANNELS}, open_packed(Path(folder) / "data"), shared_fakes=False)
    loop(WARM_UP)
    begun = time.perf_counter()
    loop(steps)
    dist.barrier()
    if rank == 0:
        Path(folder, "rate").write_text(str(steps * BATCH / (time.perf_counter() - begun)))
    dist.destroy_process_group()


def bare(folder: Path, round_: int, steps: int) -> float:
    (folder / "round").write_text(str(round_))
    mp.spawn(bare_rank, (str(folder), steps), nprocs=WORKERS)
    return float((folder / "rate").read_text())


def job(folder: Path, examples: int) -> float:
    spec = {
        "kind": "train",
        "name": "bench",
        "model": {"family": "dcgan", "params": {"base_channels": CHANNELS}},
        "data": {"source": "shapes", "resolution": RESOLUTION, "channels": 1},
        "train": {"examples": examples, "batch_size": BATCH},
        "resources": {"workers": WORKERS},
    }
    stack = Stack(folder / "home")
    stack.start()
    try:
        client = Client(stack.url, stack.token)
        (submitted,) = client.submit([spec], key=None)["jobs"]
        (ended,) = follow.follow(client, [submitted["id"]])
        return ended["attempts"][-1]["result"]["rate"]
    finally:
        stack.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=40_000)
    options = parser.parse_args()
    steps = options.examples // BATCH // 2
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        pack(Shapes(count=10_000), folder / "data", resolution=RESOLUTION, channels=1)
        before = bare(folder, 0, steps)
        ours = job(folder, options.examples)
        after = bare(folder, 1, steps)
    print(f"bare loop: {before:.0f} examples/s before, {after:.0f} after; ganworks job: {ours:.0f} examples/s")
    print(f"job / bare loop: {ours / statistics.mean([before, after]):.3f}  ({WORKERS} workers of one thread)")


if __name__ == "__main__":
    main()
