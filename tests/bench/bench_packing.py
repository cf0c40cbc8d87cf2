"""Packing JPEGs and small PNGs over all cores, beside Pillow in a loop and `datasets`' imagefolder, in one run.

    python -m tests.bench.bench_packing [--large 300] [--small 4000] [--rounds 3]

Large: 1024x768 JPEG to 64 pixels; small: 28x28 PNG as they are. The loop decodes, fits (Lanczos) and keeps each picture,
and nothing more.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from trainers.data.fit import fit
from trainers.data.pack import pack


def make(place: Path, count: int, size: tuple[int, int], suffix: str) -> Path:
    chance = np.random.default_rng(0)
    place.mkdir()
    for number in range(count):
        coarse = chance.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(place / f"{number:06d}{suffix}")
    return place


def loop(place: Path, resolution: int | None) -> None:
    kept = []
    for path in sorted(place.iterdir()):
        picture = np.asarray(Image.open(path).convert("RGB"))
        kept.append(fit(picture, resolution) if resolution else picture)


def imagefolder(place: Path, resolution: int | None, cache: Path) -> None:
    from datasets import load_dataset

    pictures = load_dataset("imagefolder", data_dir=str(place), split="train", cache_dir=str(cache))
    kept = []
    for row in pictures:
        picture = np.asarray(row["image"].convert("RGB"))
        kept.append(fit(picture, resolution) if resolution else picture)


def timed(action: Callable[[], object]) -> float:
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", type=int, default=300)
    parser.add_argument("--small", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kinds = [
            ("JPEG 1024x768 -> 64", make(folder / "large", asked.large, (1024, 768), ".jpg"), asked.large, 64),
            ("PNG 28x28", make(folder / "small", asked.small, (28, 28), ".png"), asked.small, None),
        ]
        for what, place, count, resolution in kinds:
            _compare(what, place, count, resolution, folder, cores, asked.rounds)


def _compare(what: str, place: Path, count: int, resolution: int | None, folder: Path, cores: int, rounds: int) -> None:
    rates: dict[str, list[float]] = {}
    from trainers.data import pack as packing

    packing.WORTH = 1
    for n in range(rounds):
        ways: dict[str, Callable[[], object]] = {
            "Pillow in a loop": lambda: loop(place, resolution),
            "packed by 1": lambda n=n: pack(place, folder / f"{place.name}-1-{n}", resolution=resolution),
            f"packed by {cores}": lambda n=n: pack(
                place, folder / f"{place.name}-{cores}-{n}", resolution=resolution, processes=cores
            ),
            "datasets' imagefolder": lambda n=n: imagefolder(place, resolution, folder / f"cache-{place.name}-{n}"),
        }
        for way, action in ways.items():
            rates.setdefault(way, []).append(count / timed(action))
    base = statistics.median(rates["Pillow in a loop"])
    for way, found in rates.items():
        rate = statistics.median(found)
        print(f"{what:<20} {way:<22} {rate:8,.0f} pictures/s, {rate / base:.2f} of the loop", flush=True)


if __name__ == "__main__":
    main()
