"""Latents by sample index: sample i depends on (seed, i) alone.

Row i owns the counters [i·C, (i+1)·C) of one Philox stream, so that any range of rows is fetched at once. Normals come
by inverse CDF, one uniform each, and truncated normals likewise: the same law as drawing again what falls outside.
"""

import numpy as np
import torch

from trainers.config import Latent
from trainers.randomness.keys import key

WORDS_PER_COUNTER = 4


def uniforms(rows: range, width: int, *parts: int | str) -> np.ndarray:
    """Return [len(rows), width] float64, strictly between 0 and 1."""
    counters = -(-width // WORDS_PER_COUNTER)
    stream = np.random.Philox(key=np.array(key(*parts), np.uint64), counter=rows.start * counters)
    raw = stream.random_raw(len(rows) * counters * WORDS_PER_COUNTER).reshape(len(rows), -1)[:, :width]
    return ((raw >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def latent_rows(latent: Latent, rows: range, *, seed: int, truncation: float | None) -> torch.Tensor:
    """Return [len(rows), latent.dim] float32.

    truncation: normals are cut to ±truncation, uniforms span ±truncation; None means all of N(0, 1), or ±1.
    """
    drawn = torch.from_numpy(uniforms(rows, latent.dim, seed, "latent"))
    if latent.distribution == "uniform":
        return ((2 * drawn - 1) * (1.0 if truncation is None else truncation)).float()
    if truncation is not None:
        edge = torch.special.ndtr(torch.tensor(-truncation, dtype=torch.float64))
        drawn = edge + drawn * (1 - 2 * edge)
    return torch.special.ndtri(drawn).float()
