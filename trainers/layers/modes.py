"""Networks in another mode for a while."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def in_eval_mode(networks: Iterable[nn.Module]) -> Iterator[None]:
    """Put networks into eval mode, and each back as it was."""
    found = [(network, network.training) for network in networks]
    for network, _ in found:
        network.eval()
    try:
        yield
    finally:
        for network, was_training in found:
            network.train(was_training)
