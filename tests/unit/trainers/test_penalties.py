import torch
from torch import nn

from trainers.penalties import r1


def test_r1_of_a_linear_critic_is_half_its_squared_weight():
    critic = nn.Linear(6, 1).double()
    value = r1(lambda x: critic(x.flatten(1)), torch.randn(5, 1, 2, 3, dtype=torch.float64))
    torch.testing.assert_close(value, critic.weight.square().sum() / 2)


def test_r1_of_a_quadratic_critic():
    """D(x) = ‖x‖²/2 has gradient x."""
    x = torch.randn(5, 4, dtype=torch.float64)
    torch.testing.assert_close(r1(lambda x: x.square().sum(1) / 2, x), x.square().sum(1).mean() / 2)


def test_gradient_of_r1_with_respect_to_weights_is_that_of_finite_differences():
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    x, weight = torch.randn(4, 3, dtype=torch.float64), critic[0].weight
    (slope,) = torch.autograd.grad(r1(critic, x), weight)
    step = 1e-6
    with torch.no_grad():
        weight[0, 0] += step
    above = float(r1(critic, x).detach())
    with torch.no_grad():
        weight[0, 0] -= 2 * step
    below = float(r1(critic, x).detach())
    assert abs((above - below) / (2 * step) - float(slope[0, 0])) < 1e-8


def test_every_weight_gets_a_gradient_that_is_not_none():
    critic = nn.Linear(3, 1).double()
    r1(critic, torch.randn(4, 3, dtype=torch.float64)).backward()
    assert torch.equal(critic.bias.grad, torch.zeros(1, dtype=torch.float64))
