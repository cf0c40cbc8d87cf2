"""BigGAN is what its paper and its code say: sizes, where labels go, whole-batch statistics, orthogonality."""

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn.utils import parametrize
from trainers_gang import Gang

from trainers.families.biggan import BigGAN
from trainers.gan.family import LabelsNeeded
from trainers.gan.registry import build
from trainers.layers.full_batch_norm import FullBatchNorm2d

IDLE_BIASES = 1536 + 768 + 384 + 192 + 96  # of each block's first convolution, which batch norm takes away again


def networks(side: int = 32, classes: int = 10, **params: object) -> dict[str, nn.Module]:
    return build("biggan", params, shape=(3, side, side), classes=classes).networks()


def test_as_many_parameters_as_the_authors_code_prints_at_128_pixels():
    with torch.device("meta"):
        found = networks(128, 1000)
    count = {name: sum(p.numel() for p in network.parameters()) for name, network in found.items()}
    assert count["generator"] + IDLE_BIASES == 70_433_988
    assert count["discriminator"] == 87_982_370


@pytest.mark.parametrize("side", [16, 32, 64, 128, 256])
def test_pictures_of_every_size(side: int):
    found = networks(side, base_channels=2)
    made = found["generator"].eval()(torch.randn(2, 120), torch.tensor([0, 1]))
    assert made.shape == (2, 3, side, side)
    assert found["discriminator"](made, torch.tensor([0, 1])).logits.shape == (2,)


def test_weights_begin_orthogonal():
    generator = networks(base_channels=4)["generator"]
    for layer in generator.modules():
        if isinstance(layer, nn.Conv2d):
            rows = layer.parametrizations.weight.original.detach().flatten(1)
            rows = rows if rows.shape[0] <= rows.shape[1] else rows.T
            torch.testing.assert_close(rows @ rows.T, torch.eye(len(rows)), atol=1e-4, rtol=1e-4)


def test_the_shared_embedding_has_no_spectral_norm_and_pays_no_orthogonality():
    generator = networks(base_channels=2)["generator"]
    assert not parametrize.is_parametrized(generator.shared)
    assert generator.shared.weight.is_free_of_orthogonality
    assert all(parametrize.is_parametrized(m, "weight") for m in generator.modules() if isinstance(m, nn.Conv2d))


def test_each_level_sees_its_own_part_of_z_and_the_class():
    generator = networks(base_channels=2)["generator"].double().eval()
    z, label = torch.randn(1, 120).double(), torch.tensor([3])
    z.requires_grad_(True)
    (slope,) = torch.autograd.grad(generator(z, label).square().sum(), z)
    assert all(part.abs().sum() > 0 for part in slope[0].split(generator.part))
    assert not torch.equal(generator(z, label), generator(z, torch.tensor([4])))


def test_it_needs_labels_and_its_own_norms():
    with pytest.raises(LabelsNeeded):
        build("biggan", {}, shape=(3, 32, 32), classes=None)
    with pytest.raises(ValidationError, match=r"BigGAN's are 'batch' and 'spectral'"):
        build("biggan", {"generator": {"norm": "none"}}, shape=(3, 32, 32), classes=2)
    with pytest.raises(ValidationError, match=r"gradient_accumulation is 2, and BigGAN's batch norm needs the whole"):
        build("biggan", {"execution": {"gradient_accumulation": 2}}, shape=(3, 32, 32), classes=2)


def test_adam_has_the_papers_epsilon():
    config = BigGAN.Config()
    assert config.generator.build([nn.Parameter(torch.zeros(1))]).defaults["eps"] == 1e-6  # type: ignore[attr-defined]


def normalised(rank: int, world: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What a rank's part of 8 samples becomes, its gradient, and the running mean."""
    x = torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weight = torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    own = slice(rank * 8 // world, (rank + 1) * 8 // world)
    part = x[own].clone().requires_grad_(True)
    norm = FullBatchNorm2d(3).double()
    made = norm(part)
    # A mean over samples, as every loss is; ranks' means are averaged, and so are their gradients.
    (slope,) = torch.autograd.grad((made.tanh() * weight[own]).mean(), part)
    return made.detach(), slope / world, norm.running_mean


@pytest.mark.parametrize("world", [2])
def test_statistics_and_gradients_are_those_of_the_whole_batch(gang: Gang, world: int):
    made, slope, mean = normalised(0, 1)
    parts = gang.run(world, normalised, world)
    torch.testing.assert_close(torch.cat([part[0] for part in parts]), made)
    torch.testing.assert_close(torch.cat([part[1] for part in parts]), slope)
    assert all(torch.allclose(part[2], mean) for part in parts)


def test_it_is_torchs_batch_norm_on_one_worker():
    x = torch.randn(6, 3, 5, 5, dtype=torch.float64)
    own, torchs = FullBatchNorm2d(3).double(), nn.BatchNorm2d(3, affine=False).double()
    torch.testing.assert_close(own(x), torchs(x))
    torch.testing.assert_close(own.eval().running_mean, torchs.running_mean)
