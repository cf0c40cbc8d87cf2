"""What an adversarial loss is. Each is a file in `losses/`, named as in the YAML."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class AdversarialLoss:
    """real, fake: logits of any equal shape; the result is a scalar.

    A mean over samples of a term that sees one real and one fake logit at most, so that the mean over the ranks' means
    is the mean over the batch. Written with softplus, and sound in float64.
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]  # (real, fake)
    generator: Callable[[Tensor, Tensor | None], Tensor]  # (fake, real)
    needs_real: bool = False  # the generator's loss looks at real logits too
    smooth: Callable[[Tensor, Tensor, float], Tensor] | None = None  # discriminator's, with a target for reals below 1
    at_chance: float | None = None  # the discriminator's, when it cannot tell; None: the loss has no floor
