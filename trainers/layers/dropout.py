"""Dropout whose holes do not depend on the number of workers, or on the borders of shards."""

from torch import Tensor, nn

from trainers.randomness.source import drawn


class Dropout(nn.Module):
    """[n, …] -> the same, each number (or whole channel) 0 with probability p, the others 1 / (1 - p) times as large.

    Srivastava et al., JMLR 15 (2014). The name that `name_dropouts` gives it keeps its draws apart from others'.
    """

    def __init__(self, p: float = 0.5, *, channels: bool = False, in_sampling: bool = False) -> None:
        """Take `channels`: whole ones; `in_sampling`: also in eval mode, as pix2pix (1611.07004) draws its noise."""
        super().__init__()
        self.p, self.channels, self.in_sampling = p, channels, in_sampling
        self.name = "dropout"

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training or self.in_sampling) or self.p == 0:
            return x
        shape = (x.shape[1], *([1] * (x.ndim - 2))) if self.channels else x.shape[1:]
        kept = drawn(self.name, len(x), *shape) >= self.p
        return x * kept.to(x.dtype) / (1 - self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}, channels={self.channels}, in_sampling={self.in_sampling}"


PLAIN = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


def name_dropouts(name: str, network: nn.Module) -> None:
    """Name every dropout of a network by its place, torch's own taken over first: theirs would differ between ranks."""
    for place, module in list(network.named_modules()):
        if type(module) in PLAIN:
            own = Dropout(module.p, channels=not isinstance(module, nn.Dropout))
            parent = network.get_submodule(place.rpartition(".")[0])
            setattr(parent, place.rpartition(".")[2], own.train(module.training))
    for place, module in network.named_modules():
        if isinstance(module, Dropout):
            module.name = f"dropout/{name}/{place}"
