"""In which order examples are shown: position p is number p % N of epoch p // N's own permutation.

Nothing here depends on the number of workers; batches may straddle epochs.
"""

from functools import lru_cache

import numpy as np

from trainers.keys import numpy_generator


class Order:
    def __init__(self, count: int, *, seed: int) -> None:
        self.count, self.seed = count, seed
        # Two, because a batch may straddle epochs.
        self._permutation = lru_cache(maxsize=2)(self._drawn)

    def indices(self, positions: range) -> np.ndarray:
        """[len(positions)] int64: which examples stand there."""
        at = np.arange(positions.start, positions.stop, positions.step)
        epochs, places = np.divmod(at, self.count)
        found = np.empty(len(at), np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            found[here] = self._permutation(int(epoch))[places[here]]
        return found

    def _drawn(self, epoch: int) -> np.ndarray:
        return numpy_generator(self.seed, "epoch", epoch).permutation(self.count)
