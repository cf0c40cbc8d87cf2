"""Adversarial losses: one file each, with a LOSS, found by the file's name."""

from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

from trainers.objectives.loss import AdversarialLoss
from trainers.objectives.registry import modules_of

LOSSES: dict[str, AdversarialLoss] = {name: module.LOSS for name, module in modules_of(__name__).items()}


def adversarial_loss(name: str) -> AdversarialLoss:
    """Return the loss of this name; ValueError names the choices."""
    return LOSSES[_known(name)]


def _known(name: str) -> str:
    if name not in LOSSES:
        raise ValueError(f"unknown {name!r}; choices: {', '.join(LOSSES)}")
    return name


LossName = Annotated[str, AfterValidator(_known), WithJsonSchema({"enum": list(LOSSES), "type": "string"})]
