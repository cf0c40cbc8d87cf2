"""Labels as a source wrote them -> classes: those that occur, and no others, numbered from 0."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from trainers.data.natural import natural

Label = int | str  # as the source wrote it: a number, or a word such as the name of a folder


@dataclass(frozen=True, kw_only=True)
class Classes:
    labels: tuple[Label, ...]  # of each class, as the source wrote it
    names: tuple[str, ...]  # of each class

    def numbers(self, labels: Iterable[Label]) -> np.ndarray:
        """Return the number of each label's class, int64; KeyError for one of no class."""
        ranks = {label: rank for rank, label in enumerate(self.labels)}
        return np.array([ranks[label] for label in labels], np.int64)


def classes_of(labels: Iterable[Label], told: Mapping[Label, str]) -> Classes:
    """Return the classes that occur among `labels`, numbers by size and words in natural order.

    told: what the source calls some of its labels; any other is called as it is written.
    """
    found = sorted(set(labels), key=lambda label: natural(str(label)))
    if all(isinstance(label, int) for label in found):
        found.sort(key=int)
    return Classes(labels=tuple(found), names=tuple(told.get(label, str(label)) for label in found))
