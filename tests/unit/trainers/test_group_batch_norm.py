import pytest
import torch
import torch.nn.functional as F

from trainers.layers.batch_norm import GroupBatchNorm2d
from trainers.layers.grouped import running_statistics, set_group


def layer(group: int | None) -> GroupBatchNorm2d:
    norm = GroupBatchNorm2d(3).double()
    torch.nn.init.normal_(norm.weight)
    set_group(norm, group)
    return norm


def test_each_group_is_normalised_by_itself():
    norm, x = layer(4), torch.randn(8, 3, 5, 5, dtype=torch.float64)
    parts = [F.batch_norm(part, None, None, norm.weight, norm.bias, True) for part in x.chunk(2)]
    assert torch.equal(norm(x), torch.cat(parts))


def test_running_statistics_are_the_mean_over_the_groups():
    whole, x = layer(4), torch.randn(8, 3, 5, 5, dtype=torch.float64)
    whole(x)
    halves = []
    for part in x.chunk(2):
        half = layer(4)
        half(part)
        halves.append(dict(running_statistics(half)))
    for name, buffer in running_statistics(whole):
        torch.testing.assert_close(buffer, (halves[0][name] + halves[1][name]) / 2, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("group", [None, 4])
def test_can_be_differentiated_twice(group: int | None):
    x = torch.randn(4, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    norm = layer(group)
    assert torch.autograd.gradgradcheck(lambda x: norm(x).square(), x)


def test_a_batch_that_is_not_whole_groups_is_our_mistake():
    with pytest.raises(AssertionError, match="6 samples are not whole groups of 4"):
        layer(4)(torch.zeros(6, 3, 2, 2, dtype=torch.float64))
