"""Convolutions that are differentiated twice give what torch's own give, for every layout."""

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import grad, gradcheck, gradgradcheck

from trainers.objectives.double_backward import convolution, double_backward

CPU = torch.device("cpu")
LAYOUTS = {
    "plain": ((1, 1), (1, 1), (1, 1), 1),
    "strided": ((2, 2), (1, 1), (1, 1), 1),
    "without padding": ((1, 2), (0, 0), (1, 1), 1),
    "grouped": ((1, 1), (1, 1), (1, 1), 2),
    "dilated": ((1, 1), (2, 2), (2, 2), 1),
}


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_first_and_second_derivatives_are_right(layout: tuple) -> None:
    arguments = drawn(2, 4, 6, 5), drawn(2, 4 // layout[3], 3, 3), drawn(2)
    assert gradcheck(lambda *tensors: convolution(*tensors, *layout), arguments, fast_mode=True)
    assert gradgradcheck(lambda *tensors: convolution(*tensors, *layout), arguments, fast_mode=True)


def slopes(network: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
    """The gradients of a penalty on the slope at x."""
    (slope,) = grad(network(x).square().sum(), x, create_graph=True)
    return grad(slope.square().sum(), list(network.parameters()))


@pytest.mark.parametrize("padding", [1, "same"])
def test_a_network_s_penalty_is_torch_s_own(padding: int | str) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=padding), nn.Tanh(), nn.Conv2d(4, 2, 3, 2)).double()
    x = drawn(2, 3, 8, 8)
    own = slopes(network, x)
    with double_backward(CPU):
        kinds = type(network[0](x).grad_fn).__name__
        ours = slopes(network, x)
    assert all(torch.allclose(a, b, rtol=1e-12, atol=1e-12) for a, b in zip(own, ours, strict=True))
    assert ("Convolution" in kinds) == (padding == "same")  # a name for a padding stays with torch
