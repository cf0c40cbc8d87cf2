import pytest
import torch
from torch import nn

from trainers.objectives.penalties.consistency import squared_gap
from trainers.objectives.penalties.gradient_penalty import between
from trainers.objectives.penalties.lecam import crossed_gaps
from trainers.objectives.penalties.orthogonal import exempt, off_diagonals
from trainers.objectives.penalties.path_length import path_lengths
from trainers.objectives.penalties.r1 import half_squared_slope
from trainers.objectives.penalty import no_part
from trainers.objectives.slopes import unit_slope


def test_r1_of_a_linear_critic_is_half_its_squared_weight():
    critic = nn.Linear(6, 1).double()
    value = half_squared_slope(lambda x: critic(x.flatten(1)), torch.randn(5, 1, 2, 3, dtype=torch.float64))
    torch.testing.assert_close(value, critic.weight.square().sum() / 2)


def test_r1_of_a_quadratic_critic():
    """D(x) = ‖x‖²/2 has gradient x."""
    x = torch.randn(5, 4, dtype=torch.float64)
    torch.testing.assert_close(half_squared_slope(lambda x: x.square().sum(1) / 2, x), x.square().sum(1).mean() / 2)


def test_gradient_of_r1_with_respect_to_weights_is_that_of_finite_differences():
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    x, weight = torch.randn(4, 3, dtype=torch.float64), critic[0].weight
    (slope,) = torch.autograd.grad(half_squared_slope(critic, x), weight)
    step = 1e-6
    with torch.no_grad():
        weight[0, 0] += step
    above = float(half_squared_slope(critic, x).detach())
    with torch.no_grad():
        weight[0, 0] -= 2 * step
    below = float(half_squared_slope(critic, x).detach())
    assert abs((above - below) / (2 * step) - float(slope[0, 0])) < 1e-8


def test_every_weight_gets_a_gradient_that_is_not_none():
    critic = nn.Linear(3, 1).double()
    (half_squared_slope(critic, torch.randn(4, 3, dtype=torch.float64)) + no_part(critic)).backward()
    assert torch.equal(critic.bias.grad, torch.zeros(1, dtype=torch.float64))


def test_gradient_penalty_and_unit_slope_of_a_linear_critic():
    """Its slope is its weight, wherever it is asked."""
    critic = nn.Linear(6, 1).double()
    wanted = (critic.weight.norm() - 1) ** 2
    reals, fakes = torch.randn(2, 5, 1, 2, 3, dtype=torch.float64)
    mix = torch.rand(5, 1, 1, 1, dtype=torch.float64)
    torch.testing.assert_close(between(lambda x: critic(x.flatten(1)), reals, fakes, mix), wanted)
    torch.testing.assert_close(unit_slope(lambda x: critic(x.flatten(1)), reals), wanted)


def test_gradient_penalty_is_at_the_mixes():
    """D(x) = ‖x‖²/2 has gradient x."""
    reals, fakes = torch.randn(2, 5, 4, dtype=torch.float64)
    mix = torch.rand(5, 1, dtype=torch.float64)
    wanted = ((mix * reals + (1 - mix) * fakes).norm(dim=1) - 1).square().mean()
    torch.testing.assert_close(between(lambda x: x.square().sum(1) / 2, reals, fakes, mix), wanted)


def test_a_panel_pays_the_mean_of_its_members():
    one, other = (torch.randn(4, dtype=torch.float64) for _ in range(2))
    value = half_squared_slope(lambda x: torch.stack([x @ one, x @ other], 1), torch.randn(5, 4, dtype=torch.float64))
    torch.testing.assert_close(value, (one.square().sum() + other.square().sum()) / 4)


def test_orthogonal_is_the_squared_products_of_different_rows():
    layer = nn.Linear(2, 2).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    value = off_diagonals(layer)
    torch.testing.assert_close(value, torch.tensor(11.0**2, dtype=torch.float64))
    (value + no_part(layer)).backward()
    assert torch.equal(layer.bias.grad, torch.zeros(2, dtype=torch.float64))


def test_the_gradient_of_orthogonal_is_that_of_bigans_code():
    """2 (W Wᵀ ⊙ (1 - I)) W for β = 1."""
    layer = nn.Linear(5, 3).double()
    (slope,) = torch.autograd.grad(off_diagonals(layer), layer.weight)
    w = layer.weight.detach()
    torch.testing.assert_close(slope, 2 * ((w @ w.T) * (1 - torch.eye(3))) @ w)


def test_a_shared_embedding_is_left_out_of_orthogonal():
    network = nn.ModuleDict({"shared": nn.Embedding(4, 3), "layer": nn.Linear(3, 3)}).double()
    whole = off_diagonals(network)
    exempt(network["shared"])
    torch.testing.assert_close(off_diagonals(network), off_diagonals(network["layer"]))
    assert off_diagonals(network) < whole


def test_lecam_and_consistency():
    real, fake = torch.tensor([1.0, 3.0]).double(), torch.tensor([0.0, -2.0]).double()
    value = crossed_gaps(real, fake, torch.tensor(2.0), torch.tensor(-1.0))
    torch.testing.assert_close(value, torch.tensor((4 + 16) / 2 + (4 + 16) / 2).double())
    torch.testing.assert_close(squared_gap(real, fake), torch.tensor((1 + 25) / 2).double())


def test_path_lengths_of_a_linear_generator():
    """G(z) = Wz has Jᵀy = Wᵀy, wherever it is asked; y is over the root of the 6 pixels."""
    generator = nn.Linear(4, 12).double()
    latents, noise = torch.randn(5, 4).double(), torch.randn(5, 2, 2, 3).double()
    lengths = path_lengths(lambda z: generator(z).unflatten(1, (2, 2, 3)), latents, noise)
    wanted = (noise.flatten(1) @ generator.weight).norm(dim=1) / 6**0.5
    torch.testing.assert_close(lengths, wanted)
    (slope,), (wanted_slope,) = (torch.autograd.grad(x.square().mean(), generator.weight) for x in (lengths, wanted))
    torch.testing.assert_close(slope, wanted_slope)


def test_path_lengths_of_any_generator_are_those_of_its_jacobian():
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 4), nn.Unflatten(1, (1, 2, 2))).double()
    latents, noise = torch.randn(5, 3).double(), torch.randn(5, 1, 2, 2).double()
    for latent, y, length in zip(latents, noise, path_lengths(generator, latents, noise), strict=True):
        jacobian = torch.func.jacrev(lambda z: generator(z[None]).flatten())(latent)
        torch.testing.assert_close(length, (jacobian.T @ y.flatten()).norm() / 2)


def test_weights_without_part_in_path_lengths_get_a_gradient_too():
    generator = nn.Sequential(nn.Linear(3, 4), nn.Unflatten(1, (1, 2, 2))).double()
    lengths = path_lengths(generator, torch.randn(5, 3).double(), torch.randn(5, 1, 2, 2).double())
    (lengths.sum() + no_part(generator)).backward()
    assert torch.equal(generator[0].bias.grad, torch.zeros(4, dtype=torch.float64))


@pytest.mark.parametrize("name", ["gradient_penalty", "unit_slope", "orthogonal", "path_lengths"])
def test_gradients_are_those_of_finite_differences(name: str):
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    reals, fakes = torch.randn(2, 4, 3, dtype=torch.float64)
    mix = torch.rand(4, 1, dtype=torch.float64)

    def value() -> torch.Tensor:
        if name == "orthogonal":
            return off_diagonals(critic)
        if name == "path_lengths":
            return path_lengths(lambda z: critic(z)[..., None, None], reals, fakes[:, :1, None, None]).square().mean()
        return unit_slope(critic, reals) if name == "unit_slope" else between(critic, reals, fakes, mix)

    weight, step = critic[0].weight, 1e-6
    (slope,) = torch.autograd.grad(value(), weight)
    seen = []
    for move in (step, -2 * step):
        with torch.no_grad():
            weight[0, 0] += move
        seen.append(float(value().detach()))
    assert abs((seen[0] - seen[1]) / (2 * step) - float(slope[0, 0])) < 1e-7
