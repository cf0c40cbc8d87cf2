"""The engine's step beside torch-mimicry's, on torch-mimicry's own networks: SNGAN and WGAN-GP at 32 pixels.

    python -m tests.bench.bench_mimicry [--rounds 8] [--channels 64] [--batch 32] [--compile]
    python -m tests.bench.bench_mimicry --device cuda --channels 256 --batch 64 --rounds 200 --compile --cuda-graphs

A step is five turns of the discriminator and one of the generator. Both train the same two modules with Adam, without
an average, in one process, and take turns within one run. torch-mimicry comes from PyPI into .cache/mimicry; its
package is entered by its subpackages, since the whole of it asks for torchvision.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.bench.timing import now
from tests.support.streams import stream_of
from trainers.data.pack import pack
from trainers.data.packed import PackedData
from trainers.data.readers.shapes import Shapes
from trainers.data.stream import Stream
from trainers.devices import prepare
from trainers.engine import Engine
from trainers.families.sngan import SNGAN
from trainers.families.wgan_gp import WganGP
from trainers.gan.family import Family
from trainers.gan.two_player import Game
from trainers.layers.head import DiscriminatorOutput
from trainers.monitoring.meter import Clock, Meter
from trainers.randomness.groups import Share
from trainers.settings import Settings

VERSION, TURNS, LATENT = "0.1.16", 5, 128
ADAM = {"lr": 2e-4, "betas": (0.0, 0.9)}
Step = Callable[[], None]


def bring_mimicry(folder: Path) -> None:
    """Install it beside everything else, and enter its packages without running their own imports."""
    if not (folder / "torch_mimicry").exists():
        package = f"torch-mimicry=={VERSION}"
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "-t", str(folder), package], check=True
        )
    for name in ("torch_mimicry", "torch_mimicry.nets"):
        module = types.ModuleType(name)
        module.__path__ = [str(folder / name.replace(".", "/"))]
        sys.modules[name] = module


def mimicry_networks(name: str, channels: int) -> tuple[Any, Any]:
    folder, prefix = {"sngan": ("sngan", "SNGAN"), "wgan_gp": ("wgan_gp", "WGANGP")}[name]
    nets = import_module(f"torch_mimicry.nets.{folder}.{folder}_32")
    generator = getattr(nets, f"{prefix}Generator32")(nz=LATENT, ngf=channels)
    return generator, getattr(nets, f"{prefix}Discriminator32")(ndf=channels)


class Generator(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.inner(latents)


class Discriminator(Generator):
    def forward(self, samples: Tensor, labels: Tensor | None = None) -> DiscriminatorOutput:
        logits = self.inner(samples)[:, 0]
        return DiscriminatorOutput(logits=logits, features=logits[:, None])


def family_on(name: str, channels: int) -> type[Family]:
    """Our family, with torch-mimicry's networks in the place of its own."""
    base: type[Game] = {"sngan": SNGAN, "wgan_gp": WganGP}[name]

    class Borrowed(base):  # type: ignore[misc, valid-type]
        def generator_network(self) -> nn.Module:
            return Generator(mimicry_networks(name, channels)[0])

        def discriminator_network(self, shape: tuple[int, int, int]) -> nn.Module:
            return Discriminator(mimicry_networks(name, channels)[1])

    return Borrowed


def engine_step(
    name: str, options: argparse.Namespace, data: PackedData, *, compiled: bool, graphs: bool = False
) -> Step:
    player = {"lr": ADAM["lr"], "betas": ADAM["betas"], "schedule": "constant"}
    params = {
        "latent": {"dim": LATENT}, "ema": {"half_life": 0}, "execution": {"compile": compiled, "cuda_graphs": graphs},
        "generator": player | {"batch_multiple": 1}, "discriminator": player | {"steps": TURNS, "norm": "none"},
    }  # fmt: skip
    settings = Settings(
        family=name, params=params, examples=10**9, batch_size=options.batch, group=options.batch, seed=0,
        precision="fp32", checkpoint_every=10**9, grid_every=10**9, grid_count=1, threads=torch.get_num_threads(),
        device=options.device, family_object=family_on(name, options.channels),
    )  # fmt: skip
    device, share = (
        prepare(options.device, settings.threads),
        Share(batch_size=options.batch, group=options.batch, rank=0, world=1),
    )
    begun = time.perf_counter()
    engine = Engine(settings.build_family(data), settings, share, device)
    how = ", compiled" * compiled + ", CUDA graphs" * graphs
    print(f"  engine{how}: {time.perf_counter() - begun:.1f} s of warm-up", flush=True)
    stream, meter, clock = fresh_stream(data, options), Meter(device), Clock()
    done = examples = 0

    def step() -> None:
        nonlocal done, examples
        examples = engine.step(done, examples, stream, meter, clock, measure=False)
        done += 1

    return step


class Log:
    def add_metric(self, *arguments: Any, **named: Any) -> None:
        pass


def mimicry_step(name: str, options: argparse.Namespace, data: PackedData) -> Step:
    generator, discriminator = (network.to(options.device) for network in mimicry_networks(name, options.channels))
    device = torch.device(options.device)
    players = [torch.optim.Adam(network.parameters(), **ADAM) for network in (generator, discriminator)]  # type: ignore[arg-type]
    stream, position = fresh_stream(data, options), 0
    for network in (generator, discriminator):
        network.train()

    def step() -> None:
        nonlocal position
        for _ in range(TURNS):
            batch = stream.batch(position)["real"].samples.contiguous(), None
            position += options.batch
            discriminator.train_step(batch, netG=generator, optD=players[1], log_data=Log(), device=device)
        generator.train_step(batch, netD=discriminator, optG=players[0], log_data=Log(), device=device)

    return step


def fresh_stream(data: PackedData, options: argparse.Namespace) -> Stream:
    share = Share(batch_size=options.batch, group=options.batch, rank=0, world=1)
    return stream_of(data, share, seed=0, device=torch.device(options.device), dtype=torch.float32)


def compare(name: str, options: argparse.Namespace, data: PackedData) -> None:
    print(f"{name}, {options.channels} channels, batch {options.batch}, {torch.get_num_threads()} threads", flush=True)
    contestants = {
        "mimicry": mimicry_step(name, options, data),
        "engine": engine_step(name, options, data, compiled=False),
    }
    if options.compile:
        contestants["engine, compiled"] = engine_step(name, options, data, compiled=True)
    if options.cuda_graphs:
        contestants["engine, CUDA graphs"] = engine_step(name, options, data, compiled=True, graphs=True)
    seconds: dict[str, list[float]] = {each: [] for each in contestants}
    for step in contestants.values():
        step()
    for _ in range(options.rounds):
        for each, step in contestants.items():
            begun = now(options.device)
            step()
            seconds[each].append(now(options.device) - begun)
    for each in list(contestants)[1:]:
        ratio = statistics.median(theirs / ours for theirs, ours in zip(seconds["mimicry"], seconds[each], strict=True))
        median = statistics.median(seconds[each])
        print(
            f"  {each} / mimicry: {ratio:.2f}  ({median:.2f} s a step, medians of {options.rounds} rounds)", flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument(
        "--channels", type=int, default=64, help="of both networks; torch-mimicry's own are 256 and 128"
    )
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--compile", action="store_true", help="also the engine with execution.compile")
    parser.add_argument("--cuda-graphs", action="store_true", help="also with execution.cuda_graphs")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args()
    bring_mimicry(Path(".cache/mimicry").absolute())
    with tempfile.TemporaryDirectory() as folder:
        data = pack(Shapes(count=1000), Path(folder) / "data", resolution=32)
        for name in ("sngan", "wgan_gp"):
            compare(name, options, data)


if __name__ == "__main__":
    main()
