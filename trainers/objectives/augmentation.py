"""What an augmentation is: its Config, and how it changes pictures. Each is a file in `augment/`, named as in the YAML."""

from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from trainers.config import Part
from trainers.randomness.draws import Draws

if TYPE_CHECKING:
    from trainers.gan.turn import Turn

State = dict[str, Tensor]


class Augmentation(Part):
    """The same differentiable changes of real and fake pictures before the discriminator sees them."""

    whole_batch: ClassVar[bool] = False  # needs the whole batch at once: gradient accumulation bars it

    def apply(self, samples: Tensor, draws: Draws, purpose: str, state: State) -> Tensor:
        """Return them changed. purpose: keeps the draws for reals and fakes apart; state: what `state()` began."""
        raise NotImplementedError

    def state(self) -> State:
        """Return what it remembers from turn to turn, by name: the same on every rank."""
        return {}

    def observe(self, turn: "Turn") -> None:
        """Look at the discriminator's turn, after its logits are known."""
