from dataclasses import replace

import torch
from torch import nn
from torch.nn.utils import parametrize

from trainers.layers.attention import SelfAttention
from trainers.layers.filters import doubled, halved
from trainers.layers.minibatch import MinibatchDiscrimination, MinibatchStddev
from trainers.layers.norms import PixelNorm, with_spectral_norm
from trainers.objectives.augment.ada import Ada, changed
from trainers.objectives.augment.diffaugment import DiffAugment
from trainers.objectives.losses import adversarial_loss
from trainers.objectives.shifts import mirrored, shifted
from trainers.objectives.stabilisers import HistoricalAveraging, distance_from_past
from trainers.randomness.draws import Draws
from trainers.randomness.groups import Share

DRAWS = Draws(
    seed=0,
    step=3,
    phase="d",
    share=Share(batch_size=8, group=8, rank=0, world=1),
    device=torch.device("cpu"),
    dtype=torch.float64,
)
PICTURES = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1


def test_ada_at_probability_0_changes_nothing_and_at_1_almost_everything():
    never, always = (changed(PICTURES, torch.tensor(p), DRAWS, "real") for p in (0.0, 1.0))
    torch.testing.assert_close(never, PICTURES)
    assert (always - PICTURES).abs().mean() > 0.2


def test_second_order_gradients_pass_through_ada_and_diffaugment():
    for change in (
        lambda x: changed(x, torch.tensor(1.0), DRAWS, "real"),
        lambda x: DiffAugment().apply(x, DRAWS, "real", {}),
    ):
        weight = torch.randn(3, dtype=torch.float64, requires_grad=True)
        x = PICTURES.clone().requires_grad_(True)
        logits = (change(x).mean((2, 3)) @ weight).tanh()
        (slope,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(slope.square().sum(), weight)
        assert torch.isfinite(second).all()
        assert second.abs().sum() > 0


def test_a_shift_moves_whole_pixels_and_brings_in_zeros():
    ones = torch.ones(8, 1, 8, 8, dtype=torch.float64)
    moved = shifted(ones, DRAWS, 0.5)
    assert set(moved.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(shifted(ones, DRAWS, 0.0), ones)


def test_each_shift_is_as_frequent():
    """Of 16 pixels by an eighth: -2 … 2."""
    point = torch.zeros(8, 1, 16, 16, dtype=torch.float64)
    point[:, :, 8, 8] = 1
    seen = torch.zeros(16)
    for step in range(500):
        moved = shifted(point, replace(DRAWS, step=step), 0.125)
        seen += moved.sum((0, 1, 3))
    shares = seen[6:11] / seen.sum()
    assert seen[6:11].sum() == seen.sum()
    assert (shares - 0.2).abs().max() < 0.03


def test_a_mirror_turns_about_half():
    turned = mirrored(PICTURES, DRAWS)
    both = [torch.equal(t, p) or torch.equal(t, p.flip(2)) for t, p in zip(turned, PICTURES, strict=True)]
    assert all(both)
    assert not torch.equal(turned, PICTURES)


def test_adas_probability_follows_the_sign_of_reals():
    ada = Ada(every=1, ramp=80)
    state = ada.state()
    for _ in range(3):
        ada.adapt(torch.ones(8), DRAWS, state)
    assert abs(float(state["ada_p"]) - 0.3) < 1e-6
    ada.adapt(-torch.ones(8), DRAWS, state)
    assert abs(float(state["ada_p"]) - 0.2) < 1e-6


def test_historical_averaging_is_the_distance_to_the_mean_of_earlier_weights():
    player = nn.Linear(1, 1, bias=False)
    state = HistoricalAveraging().state({"player": player})
    gaps = []
    for weight in (1.0, 3.0, 5.0):
        with torch.no_grad():
            player.weight.fill_(weight)
        gaps.append(float(distance_from_past("player", player, state).detach()))
    assert gaps == [0.0, 4.0, 9.0]  # none before; from 1; from the mean of 1 and 3


def test_one_sided_smoothing_is_cross_entropy_with_a_target_for_reals():
    real, fake = torch.linspace(-2, 2, 5).double(), torch.linspace(1, -3, 5).double()
    smooth = adversarial_loss("non_saturating").smooth
    assert smooth is not None
    bce = nn.functional.binary_cross_entropy_with_logits
    wanted = bce(real, torch.full_like(real, 0.9)) + bce(fake, torch.zeros_like(fake))
    torch.testing.assert_close(smooth(real, fake, 0.9), wanted)


def test_spectral_norm_iterates_once_in_a_phase_and_finds_the_largest_singular_value():
    layer = nn.Linear(5, 4).double()
    singular = torch.linalg.svdvals(layer.weight.detach())[0]
    network = with_spectral_norm(nn.Sequential(layer))
    x = torch.randn(2, 5, dtype=torch.float64)
    with parametrize.cached():
        network(x)
        once = {name: buffer.clone() for name, buffer in network.named_buffers()}
        network(x)
    assert all(torch.equal(buffer, once[name]) for name, buffer in network.named_buffers())
    for _ in range(200):
        network(x)
    torch.testing.assert_close(torch.linalg.svdvals(layer.weight.detach())[0], torch.ones_like(singular))


def test_attention_begins_as_nothing_and_can_be_differentiated_twice():
    attention = SelfAttention(16).double()
    x = torch.randn(2, 16, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.equal(attention(x), x)
    nn.init.ones_(attention.gain)
    (slope,) = torch.autograd.grad(attention(x).square().sum(), x, create_graph=True)
    slope.square().sum().backward()
    assert attention.query.weight.grad is not None


def test_minibatch_layers_see_their_group_alone():
    x = torch.randn(8, 3, 2, 2, dtype=torch.float64)
    for layer, value in ((MinibatchStddev(), x), (MinibatchDiscrimination(12).double(), x.flatten(1))):
        layer.group = 4
        whole, first = layer(value), layer(value[:4])
        torch.testing.assert_close(whole[:4], first)
    same = MinibatchStddev()(x[:1].expand(4, -1, -1, -1))
    assert same[:, -1].abs().max() < 1e-3


def test_resampling_keeps_a_constant_inside_and_matches_the_filter():
    x = torch.randn(1, 2, 8, 8, dtype=torch.float64)
    row = torch.tensor([1.0, 2.0, 1.0]).double()
    kernel = (row[:, None] * row / 16).expand(2, 1, 3, 3)
    wanted = nn.functional.conv2d(x, kernel, stride=2, padding=1, groups=2)
    torch.testing.assert_close(halved(x), wanted)
    wide = nn.functional.conv_transpose2d(x, 4 * kernel, stride=2, padding=1, output_padding=1, groups=2)
    torch.testing.assert_close(doubled(x), wide)


def test_pixel_norm_makes_the_mean_square_one():
    x = torch.randn(2, 5, 3, 3, dtype=torch.float64)
    mean = x.square().mean(1)
    torch.testing.assert_close(PixelNorm()(x).square().mean(1), mean / (mean + 1e-8))
