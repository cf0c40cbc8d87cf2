"""Neither the order of examples nor any random draw depends on the number of workers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.support.streams import stream_of
from trainers.data.order import BalancedOrder, Order
from trainers.data.pack import pack
from trainers.data.packed import PackedData
from trainers.data.readers.shapes import Shapes
from trainers.data.stream import LabelsMissing
from trainers.randomness.draws import Draws
from trainers.randomness.groups import BadSplit, Share, check_split, possible_workers

CPU = torch.device("cpu")


def share(rank: int, world: int) -> Share:
    return Share(batch_size=24, group=4, rank=rank, world=world)


def draws(rank: int, world: int, *, seed: int = 0, step: int = 5, phase: str = "generator/0") -> Draws:
    return Draws(seed=seed, step=step, phase=phase, share=share(rank, world), device=CPU)


@given(count=st.integers(1, 50), seed=st.integers(0, 3))
def test_every_epoch_shows_every_example_once(count: int, seed: int):
    for epoch in Order(count, seed=seed).indices(range(6 * count)).reshape(6, count):
        assert sorted(epoch) == list(range(count))


@given(count=st.integers(1, 50), start=st.integers(0, 200), length=st.integers(0, 60))
def test_a_range_is_part_of_the_whole_also_across_epochs(count: int, start: int, length: int):
    whole, part = Order(count, seed=1), Order(count, seed=1)
    assert np.array_equal(part.indices(range(start, start + length)), whole.indices(range(start + length))[start:])


@given(counts=st.lists(st.integers(1, 9), min_size=1, max_size=5), rounds=st.integers(1, 30))
def test_balanced_classes_come_equally_often_and_each_of_their_examples_in_turn(counts: list[int], rounds: int):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)) * 2, counts))  # odd classes: empty
    shown = BalancedOrder(labels, seed=1).indices(range(rounds * len(counts)))
    for place, count in enumerate(counts):
        times = np.bincount(shown, minlength=len(labels))[labels == 2 * place]
        assert times.sum() == rounds
        assert times.max() - times.min() <= 1 or count > rounds
    middle = BalancedOrder(labels, seed=1).indices(range(3, len(shown)))
    assert np.array_equal(middle, shown[3:])


def test_balance_without_labels_is_refused(tmp_path: Path):
    plain = pack(Shapes(count=8), tmp_path / "plain", resolution=8, labels="none")
    with pytest.raises(LabelsMissing, match="no labels"):
        stream_of(plain, share(0, 1), seed=0, device=CPU, dtype=torch.float32, balanced=True)


def test_epochs_and_seeds_differ():
    order = Order(100, seed=1)
    first, second = order.indices(range(100)), order.indices(range(100, 200))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, Order(100, seed=2).indices(range(100)))


@pytest.mark.parametrize("world", [1, 2, 3, 6])
def test_the_ranks_batches_are_the_batch(shapes16: PackedData, world: int):
    def batch(rank: int, world: int):
        return stream_of(shapes16, share(rank, world), seed=0, device=CPU, dtype=torch.float32).batch(84)["real"]

    whole, parts = batch(0, 1), [batch(rank, world) for rank in range(world)]
    assert torch.equal(whole.samples, torch.cat([part.samples for part in parts]))
    assert torch.equal(whole.labels, torch.cat([part.labels for part in parts]))


def test_samples_are_scaled_to_minus_one_and_one(shapes16: PackedData):
    stream = stream_of(shapes16, share(0, 1), seed=0, device=CPU, dtype=torch.float64)
    index = Order(shapes16.count, seed=0).indices(range(24))[0]
    expected = torch.from_numpy(shapes16.samples[index].astype(np.float64)) / 127.5 - 1
    torch.testing.assert_close(stream.batch(0)["real"].samples[0], expected)


@pytest.mark.parametrize("world", [2, 3, 6])
@pytest.mark.parametrize("kind", ["normal", "uniform", "integers"])
def test_the_ranks_draws_are_the_draws(world: int, kind: str):
    def drawn(draws: Draws) -> torch.Tensor:
        return draws.integers("labels", 10) if kind == "integers" else getattr(draws, kind)("latent", 3, 2)

    parts = [drawn(draws(rank, world)) for rank in range(world)]
    assert torch.equal(drawn(draws(0, 1)), torch.cat(parts))


def test_a_draw_is_keyed_by_all_that_names_it():
    base = draws(0, 1).normal("latent", 8)
    others = [
        draws(0, 1, seed=1).normal("latent", 8),
        draws(0, 1, step=6).normal("latent", 8),
        draws(0, 1, phase="generator/1").normal("latent", 8),
        draws(0, 1).normal("noise", 8),
    ]
    assert torch.equal(base, draws(0, 1).normal("latent", 8))
    assert all(not torch.equal(base, other) for other in others)
    assert len(base.unique()) == base.numel()  # groups differ from each other


def test_draws_follow_their_law():
    many = Draws(seed=0, step=0, phase="p", share=Share(batch_size=4096, group=32, rank=0, world=1), device=CPU)
    normal, uniform = many.normal("a", 10), many.uniform("b", 10)
    assert abs(float(normal.mean())) < 0.02
    assert abs(float(normal.std()) - 1) < 0.02
    assert abs(float(uniform.mean()) - 0.5) < 0.01
    assert 0 <= float(uniform.min()) < float(uniform.max()) < 1
    assert many.integers("c", 4).bincount(minlength=4).min() > 900


@given(groups=st.integers(1, 30), group=st.integers(1, 16), workers=st.integers(1, 40))
def test_a_split_is_right_exactly_if_every_rank_owns_equally_many_groups(groups: int, group: int, workers: int):
    reason = check_split(groups * group, group, workers)
    assert (reason is None) == (workers in possible_workers(groups * group, group))
    if reason is None:
        owned = [Share(batch_size=groups * group, group=group, rank=r, world=workers).samples for r in range(workers)]
        assert [sample for samples in owned for sample in samples] == list(range(groups * group))


def test_a_wrong_split_names_the_possible_numbers_of_workers():
    with pytest.raises(BadSplit, match=r"possible numbers of workers: 1, 2, 3, 6$"):
        Share(batch_size=24, group=4, rank=0, world=4)
    assert check_split(10, 4) == "batch_size 10 is not a multiple of group 4"
