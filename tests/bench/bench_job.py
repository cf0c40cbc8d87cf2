"""Examples a second of a whole ganworks training job, beside a bare PyTorch loop of the same networks, batch and threads.

    python -m tests.bench.bench_job [--examples 24000] [--rounds 3]

Jobs and bare loops take turns, and a job is compared with the loops before and after it, so that a machine that slows
down or speeds up disturbs both. The job's rate is what its users get: ticks, grids and checkpoints included, from the
first tick to the last.
"""

import argparse
import statistics
import tempfile
import time
from itertools import pairwise
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
from trainers.data.readers.shapes import Shapes

WORKERS, CHANNELS = 2, 32
WARM_UP = 20  # steps


def bare_rank(rank: int, folder: str, steps: int) -> None:
    torch.set_num_threads(1)
    store = f"file://{folder}/store-{steps}-{Path(folder, 'round').read_text()}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=WORKERS)
    loop = BareLoop({"base_channels": CHANNELS}, open_packed(Path(folder) / "data"), "cpu", shared_fakes=False)
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


def job(client: Client, number: int, examples: int) -> float:
    spec = {
        "kind": "train",
        "name": f"bench-{number}",
        "model": {"family": "dcgan", "params": {"base_channels": CHANNELS}},
        "data": {"source": "shapes", "resolution": RESOLUTION, "channels": 1},
        "train": {"examples": examples, "batch_size": BATCH},
        "resources": {"workers": WORKERS},
    }
    (submitted,) = client.submit([spec], key=None)["jobs"]
    (ended,) = follow.follow(client, [submitted["id"]])
    return ended["attempts"][-1]["result"]["examples_per_second"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=24_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    steps = options.examples // BATCH // 2
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        pack(Shapes(count=10_000), folder / "data", resolution=RESOLUTION, channels=1)
        stack = Stack(folder / "home")
        stack.start()
        try:
            client = Client(stack.url, stack.token)
            loops, jobs = [bare(folder, 0, steps)], []
            for n in range(options.rounds):
                jobs.append(job(client, n, options.examples))
                loops.append(bare(folder, n + 1, steps))
        finally:
            stack.stop()
    ratios = [ours / statistics.mean(around) for ours, around in zip(jobs, pairwise(loops), strict=True)]
    print(f"examples/s: jobs {_listed(jobs)}; bare loops {_listed(loops)}")
    print(
        f"job / bare loop: {statistics.median(ratios):.3f}  (median of {options.rounds}; {WORKERS} workers of one thread)"
    )


def _listed(rates: list[float]) -> str:
    return ", ".join(f"{rate:.0f}" for rate in rates)


if __name__ == "__main__":
    main()
