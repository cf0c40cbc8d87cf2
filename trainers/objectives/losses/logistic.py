"""StyleGAN's name for the loss that does not saturate."""

from trainers.objectives.losses.non_saturating import LOSS

__all__ = ["LOSS"]
