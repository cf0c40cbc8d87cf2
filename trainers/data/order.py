"""In which order examples are shown: position p is number p % N of epoch p // N's own permutation.

Nothing here depends on the number of workers; batches may straddle epochs.
"""

from functools import lru_cache

import numpy as np

from trainers.randomness.keys import key, numpy_generator


class Order:
    def __init__(self, count: int, *, seed: int) -> None:
        self.count, self.seed = count, seed
        # Two, because a batch may straddle epochs.
        self._permutation = lru_cache(maxsize=2)(self._drawn)

    def indices(self, positions: range) -> np.ndarray:
        """Return [len(positions)] int64: which examples stand there."""
        at = np.arange(positions.start, positions.stop, positions.step)
        epochs, places = np.divmod(at, self.count)
        found = np.empty(len(at), np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            found[here] = self._permutation(int(epoch))[places[here]]
        return found

    def _drawn(self, epoch: int) -> np.ndarray:
        return numpy_generator(self.seed, "epoch", epoch).permutation(self.count)


class BalancedOrder:
    """Every class equally often: each round shows one example of each, in an order of its own, and a class's examples
    come in turn, so that those of a small class come again sooner."""

    def __init__(self, labels: np.ndarray, *, seed: int) -> None:
        """Take labels: [n] int64; classes without an example do not count."""
        self.seed = seed
        self._members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        self._turns = [Order(len(members), seed=key(seed, "class", n)[0]) for n, members in enumerate(self._members)]

        self._round = lru_cache(maxsize=2)(self._drawn)

    def indices(self, positions: range) -> np.ndarray:
        """Return [len(positions)] int64: which examples stand there."""
        return np.array([self._at(*divmod(position, len(self._members))) for position in positions], np.int64)

    def _at(self, round_: int, place: int) -> int:
        label = self._round(round_)[place]
        (turn,) = self._turns[label].indices(range(round_, round_ + 1))
        return self._members[label][turn]

    def _drawn(self, round_: int) -> np.ndarray:
        return numpy_generator(self.seed, "round", round_).permutation(len(self._members))
