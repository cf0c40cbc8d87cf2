import pytest
import torch
from pydantic import ValidationError

from trainers.families.dcgan import DCGAN
from trainers.gan import registry
from trainers.gan.family import UnsupportedShape
from trainers.gan.registry import UnknownFamily, build


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_as_many_parameters_as_the_paper_at_64_pixels():
    networks = build("dcgan", {}, shape=(3, 64, 64), classes=None).networks()
    assert {name: count(network) for name, network in networks.items()} == {
        "generator": 3_576_704,
        "discriminator": 2_765_568,
    }


@pytest.mark.parametrize("resolution", DCGAN.resolutions)
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_and_range(resolution: int, channels: int):
    dcgan = build("dcgan", DCGAN.tiny(), shape=(channels, resolution, resolution), classes=10)
    networks = dcgan.networks()
    samples = dcgan.generate(networks["generator"], torch.randn(2, 16), None)
    assert samples.shape == (2, channels, resolution, resolution)
    assert samples.abs().max() <= 1
    assert networks["discriminator"](samples).logits.shape == (2,)
    assert dcgan.classes is None


def test_weights_begin_as_in_the_paper():
    weight = (
        build("dcgan", {}, shape=(3, 64, 64), classes=None)
        .networks()["generator"]
        .get_parameter("layers.3.weight")
        .detach()
    )
    assert abs(float(weight.mean())) < 1e-3
    assert abs(float(weight.std()) - 0.02) < 1e-3


def test_other_resolutions_are_refused_with_those_that_work():
    with pytest.raises(UnsupportedShape, match="16x16, 32x32, 64x64, 128x128, not 28x28"):
        build("dcgan", {}, shape=(1, 28, 28), classes=None)


def test_r1_and_batch_norm_in_the_discriminator_are_refused_together():
    with pytest.raises(ValidationError, match="couples the samples"):
        build("dcgan", {"penalties": {"r1": {}}}, shape=(1, 32, 32), classes=None)


def test_unknown_parameters_are_refused():
    with pytest.raises(ValidationError, match="base_chanels"):
        build("dcgan", {"base_chanels": 3}, shape=(1, 32, 32), classes=None)


def test_lazy_penalties_count_in_the_optimizers_constants():
    player = build("dcgan", {}, shape=(1, 32, 32), classes=None).optimizers()["discriminator"]
    group = player.build([torch.nn.Parameter(torch.zeros(1))], every=3).param_groups[0]
    assert group["lr"] == pytest.approx(2e-4 * 0.75)
    assert group["betas"] == pytest.approx((0.5**0.75, 0.999**0.75))


def test_a_family_is_found_by_name_or_as_module_and_class():
    assert registry.get("dcgan") is DCGAN
    assert registry.get("trainers.families.dcgan:DCGAN") is DCGAN


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dcgam", "no family 'dcgam'; there are biggan, cgan, dcgan.*did you mean dcgan"),
        ("no_such_module:Gan", "No module named"),
        ("trainers.families.dcgan:Gan", "no attribute 'Gan'"),
        ("pathlib:Path", "no subclass of"),
    ],
)
def test_an_unknown_family_is_named_with_the_choices(name: str, message: str):
    with pytest.raises(UnknownFamily, match=message):
        registry.get(name)
