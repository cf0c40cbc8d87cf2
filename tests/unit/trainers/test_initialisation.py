"""Weights as each paper's formula draws them, by an independent formulation: fan-in and fan-out counted from shapes."""

from math import prod, sqrt
from typing import Any

import pytest
import torch
from torch import nn

from trainers.families.wgan import Config as WganConfig
from trainers.gan.registry import build
from trainers.layers.residual import DownBlock, UpBlock

RGB = (3, 32, 32)


def networks(name: str, **params: Any) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return build(name, params, shape=RGB, classes=None).networks()


def glorot(weight: torch.Tensor, gain: float = 1.0) -> float:
    """The deviation of U(-a, a), a = gain √(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010)."""
    pixels = prod(weight.shape[2:])
    return gain * sqrt(6 / (pixels * (weight.shape[0] + weight.shape[1]))) / sqrt(3)


def close(weight: torch.Tensor, wanted: float) -> bool:
    """Within three standard errors of a uniform law's deviation, and a little."""
    return abs(float(weight.detach().std()) / wanted - 1) < 0.02 + 3 / sqrt(weight.numel())


def weight_of(layer: nn.Module) -> torch.Tensor:
    """Before spectral norm, where it has one."""
    return layer.parametrizations.weight.original if hasattr(layer, "parametrizations") else layer.weight


@pytest.mark.parametrize("name", ["sngan", "wgan_gp"])
def test_residual_networks_are_glorots_shortcuts_and_outputs_too(name: str):
    for network in networks(name).values():
        blocks = [module for module in network.modules() if isinstance(module, UpBlock | DownBlock)]
        inner = {id(layer) for block in blocks for layer in (block.first, block.second)}
        layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
        assert len(layers) > 2 * len(blocks)
        for layer in layers:
            weight = weight_of(layer)
            assert close(weight, glorot(weight, sqrt(2) if id(layer) in inner else 1.0)), layer


def test_dcgans_weights_have_a_deviation_of_a_fiftieth():
    for network in networks("dcgan").values():
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                assert close(layer.weight, 0.02)


def test_r3gans_pictures_have_a_gain_of_one_and_no_bias():
    found = networks("r3gan", channels=96, blocks=1)
    for layer in (found["generator"].picture, found["discriminator"].picture):
        assert layer.bias is None
        assert close(layer.weight, 1 / sqrt(layer.weight.shape[1]))


def test_each_of_r3gans_blocks_begins_as_nothing_and_smaller_the_deeper_the_network():
    generator = networks("r3gan", channels=96, blocks=1)["generator"]
    depth = 4  # resolutions of 4 to 32, with a block each
    for stage in generator.stages:
        block = stage[0]
        assert block.narrow.weight.abs().max() == 0
        gain = sqrt(2 / (1 + 0.2**2)) * depth**-0.25
        for layer in (block.widen, block.mix):
            assert close(layer.weight, gain / sqrt(prod(layer.weight.shape[1:])))


def test_wgan_gps_critic_takes_the_mean_over_pixels_and_sngans_the_sum():
    told = []
    for pooling in ("sum", "mean"):
        torch.manual_seed(0)
        critic = build("wgan_gp", {"pooling": pooling}, shape=RGB, classes=None).networks()["discriminator"]
        told.append(critic(torch.rand(2, *RGB)).features)
    torch.testing.assert_close(told[0], 64 * told[1])
    assert build("wgan_gp", {}, shape=RGB, classes=None).config.pooling == "mean"  # type: ignore[attr-defined]
    assert build("sngan", {}, shape=RGB, classes=None).config.pooling == "sum"  # type: ignore[attr-defined]


def test_wgan_gps_critic_begins_with_small_slopes():
    """0.03 to 0.04 with the mean, above 2 with the sum: what the penalty begins with."""
    critic = networks("wgan_gp")["discriminator"]
    x = torch.rand(8, *RGB).requires_grad_(True)
    (slope,) = torch.autograd.grad(critic(x).logits.sum(), x)
    assert 0.01 < float(slope.flatten(1).norm(dim=1).mean()) < 0.1


def test_wgans_critic_goes_near_its_best_at_first_and_now_and_then():
    steps = WganConfig().critic_steps
    assert [steps(number) for number in (0, 24, 25, 499, 500, 501, 1000)] == [100, 100, 5, 5, 100, 5, 100]


@pytest.mark.parametrize("name", ["sngan", "wgan_gp"])
def test_the_generators_batch_is_twice_the_discriminators(name: str):
    phases = {phase.name: phase for phase in build(name, {}, shape=RGB, classes=None).phases()}
    assert (phases["generator"].batch_multiple, phases["discriminator"].batch_multiple) == (2, 1)
    assert phases["discriminator"].steps == 5


def test_logits_are_full_precision_under_autocast():
    for name in ("sngan", "r3gan"):
        small = {"channels": 16, "blocks": 1} if name == "r3gan" else {"discriminator_channels": 16}
        judge = networks(name, **small)["discriminator"]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert judge(torch.rand(2, *RGB)).logits.dtype == torch.float32
