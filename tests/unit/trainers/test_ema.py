import pytest
import torch
from torch import nn

from trainers.config import Ema
from trainers.ema import Average, decay
from trainers.layers.batch_norm import GroupBatchNorm2d


def test_after_its_half_life_an_old_weight_counts_half():
    settings = Ema(half_life=1000, ramp=None)
    assert decay(settings, 0.5, steps_so_far=5, made=1000) == 0.5
    assert decay(settings, 0.5, steps_so_far=10, made=500) ** 2 == pytest.approx(0.5)


def test_the_ramp_shortens_the_half_life_at_the_start():
    assert decay(Ema(half_life=1000, ramp=0.1), 0.5, steps_so_far=10, made=100) == 0.5
    assert decay(Ema(half_life=1000, ramp=0.1), 0.5, steps_so_far=10_000, made=1000) == 0.5


def test_a_half_life_that_rises_over_the_training():
    settings = Ema(half_life=1000, initial=0, ramp=None)
    assert decay(settings, 0.0, steps_so_far=1, made=100) == 0
    assert decay(settings, 0.5, steps_so_far=1, made=500) == 0.5
    assert decay(settings, 1.0, steps_so_far=1, made=1000) == 0.5


def test_a_network_that_was_not_trained_leaves_its_average_alone():
    source = nn.Linear(1, 1)
    average = Average(source, Ema(half_life=0))
    before = average.network.weight.clone()
    with torch.no_grad():
        source.weight.fill_(3)
    average.update(0, 0.5, 10, 0)
    assert torch.equal(average.network.weight, before)


def test_without_a_half_life_the_average_is_the_network():
    source = nn.Linear(2, 2)
    average = Average(source, Ema(half_life=0))
    with torch.no_grad():
        source.weight.fill_(3)
    average.update(0, 0.5, 1, 10)
    assert torch.equal(average.network.weight, source.weight)


def test_closed_form_over_many_updates():
    source = nn.Linear(1, 1, bias=False).double()
    average = Average(source, Ema(half_life=40, ramp=None))
    expected, keep = float(source.weight.detach()), 0.5 ** (10 / 40)
    for step in range(20):
        with torch.no_grad():
            source.weight.fill_(step)
        average.update(step, 0.5, step + 1, 10)
        expected = keep * expected + (1 - keep) * step
    assert abs(float(average.network.weight) - expected) < 1e-12


def test_running_statistics_are_averaged_and_other_buffers_copied():
    source = nn.Sequential(GroupBatchNorm2d(1))
    source.register_buffer("vector", torch.zeros(1))
    average = Average(source, Ema(half_life=1, ramp=None))
    source[0].running_mean.fill_(8.0)
    source.vector.fill_(8.0)
    average.update(0, 0.5, 1, 1)
    assert average.network[0].running_mean.item() == 4.0
    assert average.network.vector.item() == 8.0


def test_before_its_start_the_average_is_the_network():
    source = nn.Linear(1, 1)
    average = Average(source, Ema(half_life=1000, ramp=None, start=3))
    for step in range(4):
        with torch.no_grad():
            source.weight.fill_(step)
        average.update(step, 0.5, step + 1, 10)
        assert (float(average.network.weight) == step) == (step < 3)
