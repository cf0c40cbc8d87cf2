"""Several discriminators of which each sees something else: what it sees, and that it is built for that."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from trainers.gan.registry import build, built_in, get
from trainers.gan.two_player import DISCRIMINATOR
from trainers.layers.views import halvings, possible_halvings, views
from trainers.randomness.keys import seeded


def panel_of(family: str, view: str, count: int, side: int = 32, **more: object) -> nn.Module:
    params = get(family).tiny() | more
    params["discriminator"] = params["discriminator"] | {"view": view, "count": count}
    with seeded(0, "weights"):
        return build(family, params, shape=(1, side, side), classes=2).networks()[DISCRIMINATOR]


def test_scales_are_means_of_ever_larger_squares():
    whole, half, quarter = views("scales", 3, channels=3)
    pictures = torch.randn(2, 3, 16, 16)
    assert whole(pictures) is pictures
    torch.testing.assert_close(half(pictures), pictures.unflatten(3, (8, 2)).unflatten(2, (8, 2)).mean((3, 5)))
    torch.testing.assert_close(quarter(pictures), F.avg_pool2d(pictures, 4))


def test_projections_differ_halve_the_picture_and_never_train():
    one, other = views("projections", 2, channels=3)
    pictures = torch.randn(2, 3, 16, 16)
    assert one(pictures).shape == (2, 3, 8, 8)
    assert not torch.allclose(one(pictures), other(pictures))
    assert not list(one.parameters())
    torch.testing.assert_close(one.filters.flatten(1).norm(dim=1), torch.ones(3))


@pytest.mark.parametrize("view", ["scales", "projections"])
@pytest.mark.parametrize("family", built_in())
def test_members_are_built_for_what_they_see(family: str, view: str):
    panel = panel_of(family, view, 2)
    pictures = torch.rand(4, 1, 32, 32, requires_grad=True)
    verdict = panel(pictures, torch.arange(4) % 2)
    assert verdict.logits.shape == (4, 2)
    for member in verdict.logits.sum(0):
        (slope,) = torch.autograd.grad(member, pictures, retain_graph=True)
        assert slope.shape == pictures.shape
        assert slope.abs().sum() > 0


@pytest.mark.parametrize("family", built_in())
def test_the_smallest_view_that_is_accepted_works(family: str):
    count = 1 + possible_halvings(32, get(family).least_pixels)  # type: ignore[attr-defined]
    verdict = panel_of(family, "scales", count)(torch.rand(4, 1, 32, 32), torch.arange(4) % 2)
    assert verdict.logits.shape == (4, count)


def test_filters_come_from_the_seed_and_are_in_the_state():
    one, other = (panel_of("dcgan", "projections", 2).state_dict() for _ in range(2))
    assert torch.equal(one["views.1.filters"], other["views.1.filters"])
    assert not torch.equal(one["views.0.filters"], one["views.1.filters"])


def test_members_that_see_the_same_have_the_weights_they_had():
    """Views draw nothing then, and add nothing to the state."""
    assert all(name.startswith("members.") for name in panel_of("dcgan", "same", 2).state_dict())


def test_attention_is_where_a_member_has_the_feature_maps():
    names = panel_of("dcgan", "scales", 2, attention=16).state_dict()
    assert {name.split(".")[1] for name in names if "query" in name} == {"0"}


def test_halvings():
    assert list(halvings("scales", 3)) == [0, 1, 2]
    assert [possible_halvings(*case) for case in ((64, 8), (28, 1), (1, 1), (8, 8))] == [3, 2, 0, 0]
