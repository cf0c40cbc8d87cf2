"""State that belongs to a position of the global batch: each rank holds the rows of its own samples."""

from collections.abc import Iterator
from math import prod

import torch
from torch import Tensor, nn

from trainers.randomness.draws import Draws
from trainers.randomness.groups import Share


class PerPosition(nn.Module):
    """A layer with buffers whose first axis is this rank's positions of the batch.

    A checkpoint holds the rows of all ranks in order, so that any number of workers finds its own again.
    """

    share: Share | None = None

    def place(self, share: Share) -> None:
        """Make the rows of this rank's share, empty."""
        self.share = share
        for name, value in self.rows(share).items():
            self.register_buffer(name, value)

    def rows(self, share: Share) -> dict[str, Tensor]:
        """Return the buffers of a share's samples as they begin, by name."""
        raise NotImplementedError

    def own_rows(self, draws: Draws) -> slice:
        """Return where the samples of these draws stand among this rank's rows."""
        assert self.share is not None
        first, own = self.share.samples.start, draws.share.samples
        assert draws.share.batch_size == self.share.batch_size, "positions are those of one batch"
        return slice(own.start - first, own.stop - first)


def place(network: nn.Module, share: Share) -> None:
    """Make the rows of this rank in all layers that keep something for each position."""
    for module in network.modules():
        if isinstance(module, PerPosition):
            module.place(share)


def per_position_buffers(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Return (name in the state dict, buffer) of all whose rows are this rank's positions."""
    for prefix, module in network.named_modules():
        if isinstance(module, PerPosition):
            for name, buffer in module.named_buffers(recurse=False):
                yield f"{prefix}.{name}" if prefix else name, buffer


class ImagePool(PerPosition):
    """Earlier fakes, half of which take the place of new ones before a discriminator (Shrivastava et al., 1612.07828).

    Each position of the batch has slots of its own, so many that all together hold `size` pictures: with a batch of one
    it is CycleGAN's pool (1703.10593, section 4).
    """

    images: Tensor  # [rows, slots, numbers of a picture]
    filled: Tensor  # [rows] int64: slots that hold a picture

    def __init__(self, shape: tuple[int, int, int], size: int = 50, name: str = "pool") -> None:
        """Take `name`, which keeps its draws apart from another pool's."""
        super().__init__()
        self.shape, self.size, self.name = shape, size, name

    def rows(self, share: Share) -> dict[str, Tensor]:
        slots = -(-self.size // share.batch_size)
        count = len(share.samples)
        return {"images": torch.zeros(count, slots, prod(self.shape)), "filled": torch.zeros(count, dtype=torch.int64)}

    @torch.no_grad()
    def forward(self, fakes: Tensor, draws: Draws) -> Tensor:
        """Return [n, *shape]: each fake, or an earlier one of its position whose slot it takes."""
        rows = self.own_rows(draws)
        images, filled = self.images[rows], self.filled[rows]
        slots, at = images.shape[1], torch.arange(len(fakes), device=fakes.device)
        swap, place = draws.uniform(self.name, 2).unbind(1)
        has_room = filled < slots
        slot = torch.where(has_room, filled, (place * slots).long())
        stored, new = images[at, slot].clone(), fakes.detach().flatten(1).to(images.dtype)
        swapped = ~has_room & (swap < 0.5)
        images[at, slot] = torch.where((has_room | swapped)[:, None], new, stored)
        filled += has_room
        return torch.where(swapped[:, None], stored, new).view_as(fakes)
