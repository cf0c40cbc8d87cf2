"""What objectives remember from turn to turn: buffers of one more network, so that checkpoints hold them.

Every rank computes the same values, from means over ranks.
"""

from collections.abc import Mapping

from torch import Tensor, nn

OBJECTIVES = "objectives"  # the name under which a family's networks hold it


class ObjectiveState(nn.Module):
    def __init__(self, buffers: Mapping[str, Tensor]) -> None:
        super().__init__()
        for name, value in buffers.items():
            self.register_buffer(name, value)

    @property
    def buffer(self) -> dict[str, Tensor]:
        return dict(self.named_buffers())
