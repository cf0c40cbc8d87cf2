"""Examples per second of the engine against bare PyTorch loops over the same networks, data and batches.

    python -m tests.bench.bench_engine [--workers 2] [--rounds 12] [--steps 8] [--base-channels 32]
    python -m tests.bench.bench_engine --device cuda --workers 1 --steps 100 --base-channels 64

Engine and loops take turns within one run, a few steps each, so that a busy machine disturbs all alike; CPU time is disturbed least. Two loops:
`same work` draws new fakes for each player, as the engine does; `shared fakes` is the well-known tutorial's, whose
generator step uses the discriminator step's fakes again and so saves a generator pass.
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
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from tests.bench.timing import now
from tests.support.streams import stream_of
from trainers.data.pack import pack
from trainers.data.packed import PackedData, open_packed
from trainers.data.readers.shapes import Shapes
from trainers.devices import prepare
from trainers.engine import Engine
from trainers.gan.registry import build
from trainers.monitoring.meter import Clock, Meter
from trainers.parallel import world
from trainers.randomness.groups import Share
from trainers.settings import Settings

BATCH, LATENT, RESOLUTION = 64, 100, 32
Steps = Callable[[int], None]


def engine_steps(settings: Settings, data: PackedData, batch: int = BATCH) -> Steps:
    device = prepare(settings.device, 1)
    share = Share(batch_size=batch, group=settings.group, rank=world().rank, world=world().size)
    engine = Engine(settings.build_family(data), settings, share, device)
    stream = stream_of(data, share, seed=0, device=device, dtype=torch.float32)
    meter, clock = Meter(device), Clock()
    done = examples = 0

    def run(count: int) -> None:
        nonlocal done, examples
        for left in reversed(range(count)):
            examples = engine.step(done, examples, stream, meter, clock, measure=left == 0)
            done += 1
        if share.world == world().size:  # means are over all ranks, and all must come for them
            meter.read()

    return run


class BareLoop:
    """What one would write without an engine: DDP around both networks, Adam, random batches, fixed EMA."""

    def __init__(self, params: dict[str, Any], data: PackedData, device: str, *, shared_fakes: bool) -> None:
        networks = build("dcgan", params, shape=data.shape, classes=None).networks()
        self._generator, self._discriminator = (
            networks[name].to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            for name in ("generator", "discriminator")
        )
        self._average = [parameter.detach().clone() for parameter in self._generator.parameters()]
        self._device = device
        self._samples, self._shared_fakes, self._local = data.samples, shared_fakes, BATCH // world().size
        self._wrapped = [_wrapped(self._generator), _wrapped(self._discriminator)]
        self._optimizers = [
            torch.optim.Adam(network.parameters(), lr=4e-4, betas=(0.5, 0.999), fused=True)
            for network in (self._generator, self._discriminator)
        ]

    def __call__(self, count: int) -> None:
        for _ in range(count):
            self._step()

    def _step(self) -> None:
        generator, discriminator = self._wrapped
        fakes = self._fakes(generator) if self._shared_fakes else None
        self._generator.requires_grad_(self._shared_fakes)
        with torch.no_grad():
            shown = fakes.detach() if fakes is not None else self._fakes(self._generator)
        self._discriminator.requires_grad_(True)
        loss = F.softplus(-discriminator(self._reals()).logits).mean() + F.softplus(discriminator(shown).logits).mean()
        self._update(1, loss)
        self._generator.requires_grad_(True)
        self._discriminator.requires_grad_(False)
        fakes = fakes if fakes is not None else self._fakes(generator)
        self._update(0, F.softplus(-self._discriminator(fakes).logits).mean())
        torch._foreach_lerp_(self._average, [p.data for p in self._generator.parameters()], 0.02)

    def _update(self, player: int, loss: Tensor) -> None:
        loss.backward()
        self._optimizers[player].step()
        self._optimizers[player].zero_grad(set_to_none=True)

    def _fakes(self, generator: nn.Module) -> Tensor:
        return generator(torch.randn(self._local, LATENT, device=self._device))

    def _reals(self) -> Tensor:
        chosen = torch.from_numpy(self._samples[np.random.randint(len(self._samples), size=self._local)])
        return chosen.to(self._device).float().div_(127.5).sub_(1).contiguous(memory_format=torch.channels_last)


def _wrapped(network: nn.Module) -> nn.Module:
    if world().size == 1:
        return network
    return DistributedDataParallel(network, gradient_as_bucket_view=True, forward_sync_buffers=False)


Rounds = dict[str, list[tuple[float, float]]]


def measure(options: argparse.Namespace, data: PackedData) -> Rounds:
    """(seconds, seconds of this process's CPU) of each round of each contestant."""
    params = {"base_channels": options.base_channels, "ema": {"half_life": 2000, "ramp": 0.1}}
    settings = Settings(
        family="dcgan",
        params=params,
        examples=10**9,
        batch_size=BATCH,
        group=32,
        seed=0,
        precision="fp32",
        checkpoint_every=10**9,
        grid_every=10**9,
        grid_count=1,
        threads=1,
        device=options.device,
    )
    contestants: dict[str, Steps] = {
        "engine": engine_steps(settings, data),
        "same work": BareLoop(params, data, options.device, shared_fakes=False),
        "shared fakes": BareLoop(params, data, options.device, shared_fakes=True),
    }
    seconds: Rounds = {name: [] for name in contestants}
    for steps in contestants.values():
        steps(3)
    for _ in range(options.rounds):
        for name, steps in contestants.items():
            if world().size > 1:
                dist.barrier()
            begun, begun_cpu = now(options.device), time.process_time()
            steps(options.steps)
            seconds[name].append((now(options.device) - begun, time.process_time() - begun_cpu))
    return seconds


def report(options: argparse.Namespace, seconds: Rounds) -> None:
    for name, rounds in seconds.items():
        median = statistics.median(wall for wall, _ in rounds)
        print(f"{name:>12}: {options.steps * BATCH / median:7.1f} examples/s")
    for name in ("same work", "shared fakes"):
        pairs = list(zip(seconds["engine"], seconds[name], strict=True))
        wall, cpu = (statistics.median(bare[clock] / own[clock] for own, bare in pairs) for clock in (0, 1))
        print(f"engine / {name}: {wall:.3f} by the wall clock, {cpu:.3f} by CPU time (medians of {len(pairs)} rounds)")


def rank_main(rank: int, options: argparse.Namespace, folder: str) -> None:
    torch.set_num_threads(1)
    if options.workers > 1:
        store = f"file://{folder}/store"
        backend = "nccl" if options.device == "cuda" else "gloo"
        if options.device == "cuda":
            torch.cuda.set_device(rank)
        dist.init_process_group(backend, init_method=store, rank=rank, world_size=options.workers)
    seconds = measure(options, open_packed(Path(folder) / "data"))
    if rank == 0:
        report(options, seconds)
    if dist.is_initialized():
        dist.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--steps", type=int, default=8, help="in a round")
    parser.add_argument("--base-channels", type=int, default=32)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pack(Shapes(count=2000), Path(folder) / "data", resolution=RESOLUTION, channels=1)
        mp.spawn(rank_main, (options, folder), nprocs=options.workers)


if __name__ == "__main__":
    main()
