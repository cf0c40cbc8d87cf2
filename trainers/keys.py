"""Keyed randomness: a draw depends on what it is for, never on what was drawn before it.

Keys are 128 bits of BLAKE2 over the parts that name the draw; the generator is Philox, which is counter-based.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def key(*parts: int | str) -> tuple[int, int]:
    """Two 64-bit words that name a draw: key(seed, step, phase, purpose, group)."""
    digest = hashlib.blake2b("/".join(map(repr, parts)).encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


def numpy_generator(*parts: int | str) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=np.array(key(*parts), np.uint64)))


def torch_generator(device: torch.device, *parts: int | str) -> torch.Generator:
    return torch.Generator(device).manual_seed(key(*parts)[0])


def seed_everything(*parts: int | str) -> None:
    """Torch's own generators, for code that draws from them (nn.Dropout, initialisers, a user's family)."""
    torch.manual_seed(key(*parts)[0])


@contextmanager
def seeded(*parts: int | str) -> Iterator[None]:
    """The same, with the generators put back afterwards."""
    with torch.random.fork_rng():
        seed_everything(*parts)
        yield
