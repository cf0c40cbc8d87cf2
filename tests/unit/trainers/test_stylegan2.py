"""StyleGAN2's parts against independent formulations, in float64; its sizes against the published ones."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import signal
from torch import nn

from trainers.families.stylegan2 import StyleGAN2
from trainers.gan.family import Request
from trainers.gan.registry import build
from trainers.generation.row_draws import RowDraws
from trainers.layers import fir
from trainers.layers.equalised import EqualisedConv, EqualisedLinear
from trainers.layers.modulated import modulated
from trainers.objectives.penalties.path_length import path_lengths
from trainers.randomness.source import drawing_from

CPU = torch.device("cpu")
TAPS = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64


def counts(configuration: str, side: int) -> tuple[int, int]:
    with torch.device("meta"):
        networks = build("stylegan2", {"configuration": configuration}, shape=(3, side, side), classes=None).networks()
    generator, discriminator = (
        sum(p.numel() for p in networks[name].parameters()) for name in ("generator", "discriminator")
    )
    return generator, discriminator


@pytest.mark.parametrize(
    ("configuration", "side", "published"),
    [("paper1024", 1024, (30_370_060, 29_012_513)), ("paper256", 256, (24_767_458, 24_001_089))],
)
def test_as_many_parameters_as_published(configuration: str, side: int, published: tuple[int, int]):
    """Printed by the authors' code at the start of a training; the paper's table says 30.0 and 29.0 million."""
    assert counts(configuration, side) == published


def test_what_is_given_goes_before_a_named_configuration():
    family = build("stylegan2", {"configuration": "cifar", "mapping_layers": 3}, shape=(3, 32, 32), classes=None)
    assert isinstance(family, StyleGAN2)
    assert (family.config.mapping_layers, family.config.architecture, family.config.penalties.path_length) == (
        3,
        "plain",
        None,
    )


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("demodulate", [False, True])
def test_modulation_is_a_convolution_of_each_samples_own_weights(double: bool, demodulate: bool):
    torch.manual_seed(0)
    x, styles = torch.randn(3, 4, 5, 5).double(), torch.randn(3, 4).double()
    weight = torch.randn(6, 4, 3, 3).double()
    found = modulated(x, weight, styles, demodulate=demodulate, double=double)
    for n in range(3):
        own = weight * styles[n][:, None, None]
        if demodulate:
            own = own / (own.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if double:
            wide = F.conv_transpose2d(x[n : n + 1], own.transpose(0, 1), stride=2)
            kernel = torch.from_numpy(4 * TAPS).expand(6, 1, 4, 4)
            wanted = F.conv2d(wide, kernel, padding=1, groups=6)
        else:
            wanted = F.conv2d(x[n : n + 1], own, padding=1)
        torch.testing.assert_close(found[n : n + 1], wanted, rtol=1e-7, atol=1e-9)


def test_filters_are_scipys():
    x = torch.randn(2, 3, 8, 6).double()
    flat = x.flatten(0, 1).numpy()
    smooth = np.stack([signal.convolve2d(each, TAPS) for each in flat])  # of 3 rows more: padding 3 on each side
    torch.testing.assert_close(fir.smoothed(x, (3, 3)).flatten(0, 1), torch.from_numpy(smooth))
    halves = np.stack([signal.convolve2d(each, TAPS)[2:-2:2, 2:-2:2] for each in flat])
    torch.testing.assert_close(fir.halved(x).flatten(0, 1), torch.from_numpy(halves))
    stuffed = np.zeros((6, 16, 12))
    stuffed[:, ::2, ::2] = flat
    wide = np.stack([signal.convolve2d(each, 4 * TAPS)[1:-2, 1:-2] for each in stuffed])
    torch.testing.assert_close(fir.doubled(x).flatten(0, 1), torch.from_numpy(wide))


def test_equalised_layers_are_plain_ones_of_scaled_weights():
    torch.manual_seed(0)
    linear, x = EqualisedLinear(20, 5, rate=0.01, bias=2.0).double(), torch.randn(4, 20).double()
    plain = F.linear(x, linear.weight * 0.01 / 20**0.5, torch.full((5,), 2.0).double())
    torch.testing.assert_close(linear(x), plain)
    assert abs(float((linear.weight.detach() * linear.scale).std()) * 20**0.5 - 1) < 0.3
    conv, picture = EqualisedConv(3, 4, 3).double(), torch.randn(2, 3, 5, 5).double()
    torch.testing.assert_close(conv(picture), F.conv2d(picture, conv.weight / 27**0.5, padding=1))


def test_path_lengths_in_w_are_those_of_the_jacobian():
    """The root of the mean over layers of each layer's squared length."""
    torch.manual_seed(0)
    weight = torch.randn(4, 3, 2).double()

    def generate(ws: torch.Tensor) -> torch.Tensor:
        return torch.tanh(torch.einsum("pld,nld->np", weight.transpose(1, 1), ws)).unflatten(1, (1, 2, 2))

    ws, noise = torch.randn(2, 3, 2).double(), torch.randn(2, 1, 2, 2).double()
    found = path_lengths(generate, ws, noise)
    for n in range(2):
        jacobian = torch.func.jacrev(lambda w: generate(w[None]).flatten())(ws[n])  # [pixels, layers, dim]
        pulled = torch.einsum("p,pld->ld", noise[n].flatten() / 4**0.5, jacobian)
        torch.testing.assert_close(found[n], pulled.square().sum(1).mean().sqrt())


def small(**changes: object) -> tuple[StyleGAN2, nn.Module]:
    torch.manual_seed(0)
    family = build("stylegan2", StyleGAN2.tiny() | changes, shape=(3, 32, 32), classes=None)
    assert isinstance(family, StyleGAN2)
    return family, family.networks()["generator"].double().eval()


def sampled(family: StyleGAN2, generator: nn.Module, **asked: object) -> torch.Tensor:
    draws = RowDraws(seed=0, rows=range(4), device=CPU, dtype=torch.float64)
    latents = torch.randn(4, 16, generator=torch.Generator().manual_seed(1)).double()
    with drawing_from(draws), torch.no_grad():
        request = Request(latents=latents, draws=draws, **asked)  # type: ignore[arg-type]
        return family.samplers()["samples"].run({"generator": generator}, request)


def test_truncation_by_nothing_is_the_mean_of_w_and_by_one_is_none():
    family, generator = small()
    generator.mapping.centre.copy_(torch.randn(16).double())
    same = sampled(family, generator, truncation=1e-9)
    torch.testing.assert_close(same[0], same[1], atol=1e-5, rtol=1e-5)
    assert torch.equal(sampled(family, generator, truncation=1.0), sampled(family, generator))
    above = sampled(family, generator, truncation=0.5, cutoff=2)
    assert not torch.equal(above, sampled(family, generator, truncation=0.5))


def test_two_latents_are_mixed_from_a_layer_on():
    family, generator = small()
    other = torch.randn(4, 16, generator=torch.Generator().manual_seed(2)).double()
    plain = sampled(family, generator)
    assert torch.equal(sampled(family, generator, mixing=other, crossover=generator.layers), plain)
    first, middle = (sampled(family, generator, mixing=other, crossover=layer) for layer in (0, 3))
    assert not torch.equal(middle, plain)
    assert not torch.equal(middle, first)


def test_the_centre_follows_the_mean_of_w():
    _, generator = small()
    generator.train()
    for _ in range(1500):
        generator.mapping(torch.randn(32, 16).double())
    with torch.no_grad():
        mean = generator.eval().mapping(torch.randn(20_000, 16).double()).mean(0)
    assert (generator.mapping.centre - mean).norm() < 0.1 * mean.norm() + 0.02


def test_noise_of_a_sample_is_its_own():
    family, generator = small()
    with torch.no_grad():
        for layer in generator.convolutions:
            layer.strength.fill_(1.0)
    whole = sampled(family, generator)
    assert not torch.equal(whole[0], whole[1])
    draws = RowDraws(seed=0, rows=range(2, 4), device=CPU, dtype=torch.float64)
    latents = torch.randn(4, 16, generator=torch.Generator().manual_seed(1)).double()[2:]
    with drawing_from(draws), torch.no_grad():
        part = family.samplers()["samples"].run({"generator": generator}, Request(latents=latents, draws=draws))
    torch.testing.assert_close(part, whole[2:])
