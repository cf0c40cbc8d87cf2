"""A gradient penalty and its backward, with the second derivative of convolutions that trainers.objectives.double_backward has beside torch's own.

    python -m tests.bench.bench_penalty [--rounds 12] [--channels 64] [--batch 32] [--device cpu]

On WGAN-GP's critic at 32 pixels; both take turns within one run.
"""

import argparse
import statistics
from collections.abc import Callable
from unittest.mock import patch

import torch

from tests.bench.timing import now
from trainers.gan.registry import build
from trainers.objectives import double_backward
from trainers.objectives.penalties import unit_slope


def penalty(options: argparse.Namespace) -> Callable[[], None]:
    width = {"discriminator_channels": options.channels}
    network = build("wgan_gp", width, shape=(3, 32, 32), classes=None).networks()["discriminator"]
    network.to(options.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    pictures = torch.rand(options.batch, 3, 32, 32, device=options.device).to(memory_format=torch.channels_last)

    def run() -> None:
        network.zero_grad(set_to_none=True)
        unit_slope(lambda samples: network(samples, None).logits, pictures).backward()

    return run


def with_torchs_own(run: Callable[[], None]) -> Callable[[], None]:
    def plain() -> None:
        with patch.object(double_backward, "convolution", torch.conv2d):
            run()

    return plain


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args()
    own = penalty(options)
    contestants = {"own": own, "torch": with_torchs_own(own)}
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(options.rounds + 1):
        for name, run in contestants.items():
            begun = now(options.device)
            run()
            seconds[name].append(now(options.device) - begun)
    pairs = zip(seconds["torch"][1:], seconds["own"][1:], strict=True)
    ratio = statistics.median(theirs / ours for theirs, ours in pairs)
    print(f"own / torch's second derivative: {ratio:.2f} times as quick  (medians of {options.rounds} rounds)")


if __name__ == "__main__":
    main()
