"""Against the formulas as the papers print them, in float64."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from trainers.objectives.losses import LOSSES, adversarial_loss

REAL = torch.linspace(-3, 4, 11, dtype=torch.float64)
FAKE = torch.linspace(5, -2, 11, dtype=torch.float64)

Formula = Callable[[Tensor, Tensor], Tensor]


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


def cross_entropy(r: Tensor, f: Tensor) -> Tensor:
    return -torch.log(sigmoid(r)).mean() - torch.log(1 - sigmoid(f)).mean()


FORMULAS: dict[str, tuple[Formula, Formula]] = {
    "non_saturating": (cross_entropy, lambda r, f: -torch.log(sigmoid(f)).mean()),
    "minimax": (cross_entropy, lambda r, f: torch.log(1 - sigmoid(f)).mean()),
    "logistic": (cross_entropy, lambda r, f: -torch.log(sigmoid(f)).mean()),
    "hinge": (
        lambda r, f: torch.clamp(1 - r, min=0).mean() + torch.clamp(1 + f, min=0).mean(),
        lambda r, f: -f.mean(),
    ),
    "least_squares": (
        lambda r, f: 0.5 * ((r - 1) ** 2).mean() + 0.5 * (f**2).mean(),
        lambda r, f: 0.5 * ((f - 1) ** 2).mean(),
    ),
    "wasserstein": (lambda r, f: f.mean() - r.mean(), lambda r, f: -f.mean()),
    "relativistic": (
        lambda r, f: -torch.log(sigmoid(r - f)).mean(),
        lambda r, f: -torch.log(sigmoid(f - r)).mean(),
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_closed_form(name: str):
    loss, (discriminator, generator) = adversarial_loss(name), FORMULAS[name]
    torch.testing.assert_close(loss.discriminator(REAL, FAKE), discriminator(REAL, FAKE), rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(loss.generator(FAKE, REAL), generator(REAL, FAKE), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", LOSSES)
def test_only_relativistic_losses_look_at_reals_in_the_generators_turn(name: str):
    loss = adversarial_loss(name)
    if loss.needs_real:
        assert not torch.equal(loss.generator(FAKE, REAL), loss.generator(FAKE, REAL + 1))
    else:
        assert torch.equal(loss.generator(FAKE, None), loss.generator(FAKE, REAL))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("logit", [-1e4, 1e4])
def test_finite_at_the_ends(name: str, logit: float):
    real, fake = torch.full((2,), logit), torch.full((2,), -logit)
    loss = adversarial_loss(name)
    assert torch.isfinite(loss.discriminator(real, fake))
    assert torch.isfinite(loss.generator(fake, real))
