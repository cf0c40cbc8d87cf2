"""Networks in another mode, or another precision, for a while."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn


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


class InFullPrecision(nn.Sequential):
    """Layers in a row that run in float32 also under autocast (in float64 where their input is)."""

    def forward(self, x: Tensor) -> Tensor:
        with without_autocast(x.device):
            return super().forward(x.to(torch.promote_types(x.dtype, torch.float32)))


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Return a context without half precision; the meta device knows none."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)
