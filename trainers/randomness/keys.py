"""Keyed randomness: a draw depends on what it is for, never on what was drawn before it.

Keys are 128 bits of BLAKE2 over the parts that name the draw; the generator is Philox, which is counter-based.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def key(*parts: int | str) -> tuple[int, int]:
    """Return two 64-bit words that name a draw: key(seed, step, phase, purpose, group)."""
    digest = hashlib.blake2b("/".join(map(repr, parts)).encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


def numpy_generator(*parts: int | str) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=np.array(key(*parts), np.uint64)))


def torch_generator(device: torch.device, *parts: int | str) -> torch.Generator:
    return torch.Generator(device).manual_seed(key(*parts)[0])


def seed_own_generators(device: torch.device, *parts: int | str) -> None:
    """Seed torch's own generators, for code that draws from them (nn.Dropout, a user's family).

    Not torch.manual_seed: without a GPU it formats the stack at every call, which took 4 % of a small net's step.
    """
    torch.default_generator.manual_seed(key(*parts)[0])
    if device.type == "cuda":
        torch.cuda.manual_seed(key(*parts)[0])


@contextmanager
def seeded(*parts: int | str) -> Iterator[None]:
    """Seed the CPU's generator for a while, as initialisers draw from it; it is put back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(key(*parts)[0])
        yield
