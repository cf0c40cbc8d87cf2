"""A permutation that is computed by index: no table, so a sample's place does not depend on its shard."""

import numpy as np

from trainers.randomness.keys import key

ROUNDS = 6


def permuted(indices: np.ndarray, size: int, *parts: int | str) -> np.ndarray:
    """Return the places of [n] int64 in [0, size) under the permutation of [0, size) that `parts` name.

    A Feistel network on the smallest even number of bits that holds `size`; what falls outside walks on
    (Black and Rogaway, "Ciphers with arbitrary finite domains").
    """
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    keys = [np.uint64(word) for r in range(ROUNDS // 2) for word in key(*parts, "permutation", r)]
    places = _rounds(indices.astype(np.uint64), half, keys)
    while (outside := places >= size).any():
        places[outside] = _rounds(places[outside], half, keys)
    return places.astype(np.int64)


def _rounds(values: np.ndarray, half: int, keys: list[np.uint64]) -> np.ndarray:
    bits, mask = np.uint64(half), np.uint64((1 << half) - 1)
    left, right = values >> bits, values & mask
    for word in keys:
        left, right = right, left ^ (_mixed(right ^ word) & mask)
    return (left << bits) | right


def _mixed(values: np.ndarray) -> np.ndarray:
    """Mix by SplitMix64's finaliser."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
