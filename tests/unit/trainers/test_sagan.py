"""SAGAN is what its paper says: widths, where attention is, what is normalised, two time scales."""

import torch
from torch import nn
from torch.nn.utils import parametrize

from trainers.gan.registry import build
from trainers.layers.attention import SelfAttention
from trainers.layers.norms import ConditionalNorm


def networks(side: int = 128, classes: int | None = None, **params: object) -> dict[str, nn.Module]:
    conditioning = {"conditioning": "projection"} if classes else {}
    return build("sagan", conditioning | params, shape=(3, side, side), classes=classes).networks()


def test_the_widths_at_128_pixels_are_those_of_the_authors_code():
    with torch.device("meta"):
        found = networks()
    up = [module.second.weight.shape[0] for module in found["generator"].layers if hasattr(module, "shortcut")]
    down = [module.second.weight.shape[0] for module in found["discriminator"].body if hasattr(module, "shortcut")]
    assert up == [1024, 512, 256, 128, 64]
    assert down == [64, 128, 256, 512, 1024, 1024]


def test_one_attention_in_each_network_at_32_pixels_whose_gain_begins_at_nothing():
    seen: list[tuple[int, ...]] = []
    for name, network in networks(base_channels=2).items():
        (attention,) = (module for module in network.modules() if isinstance(module, SelfAttention))
        assert float(attention.gain.detach()) == 0
        attention.register_forward_hook(lambda module, given, made: seen.append(tuple(made.shape[2:])))
        network.eval()(torch.randn(1, 128) if name == "generator" else torch.randn(1, 3, 128, 128))
    assert seen == [(32, 32), (32, 32)]


def test_spectral_norm_in_both_but_not_on_the_embeddings_of_batch_norm():
    found = networks(32, 10, base_channels=2)
    for network in found.values():
        layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
        assert layers
        assert all(parametrize.is_parametrized(layer, "weight") for layer in layers)
    norms = [module for module in found["generator"].modules() if isinstance(module, ConditionalNorm)]
    assert norms
    assert not any(parametrize.is_parametrized(norm.gain) or parametrize.is_parametrized(norm.shift) for norm in norms)


def test_spectral_norm_in_place_of_batch_norm_is_put_on_once():
    generator = networks(32, base_channels=2, generator={"norm": "spectral"})["generator"]
    for layer in generator.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            assert len(layer.parametrizations.weight) == 1


def test_two_time_scales():
    players = build("sagan", {}, shape=(3, 32, 32), classes=None).optimizers()
    assert [(players[name].lr, players[name].betas) for name in ("generator", "discriminator")] == [
        (1e-4, (0.0, 0.9)),
        (4e-4, (0.0, 0.9)),
    ]
