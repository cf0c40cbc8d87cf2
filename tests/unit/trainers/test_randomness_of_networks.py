"""Networks that are random themselves draw by keys: neither workers nor the borders of shards change anything."""

from pathlib import Path

import pytest
import torch
from torch import nn

from tests.support.toy import packed, settings, trained
from trainers.engine import UnkeyedRandomness
from trainers.families.dcgan import DCGAN
from trainers.generation.row_draws import RowDraws
from trainers.layers.dropout import Dropout, name_dropouts
from trainers.layers.per_position import ImagePool
from trainers.randomness.draws import Draws
from trainers.randomness.groups import Share
from trainers.randomness.source import drawing_from, drawn

CPU = torch.device("cpu")


def draws(rank: int = 0, world: int = 1, step: int = 0) -> Draws:
    share = Share(batch_size=8, group=2, rank=rank, world=world)
    return Draws(seed=0, step=step, phase="generator/0", share=share, device=CPU, dtype=torch.float64)


def test_dropout_of_ranks_is_that_of_one():
    layer, ones = Dropout(0.5), torch.ones(8, 6, dtype=torch.float64)
    with drawing_from(draws()):
        whole = layer(ones)
    parts = []
    for rank in range(2):
        with drawing_from(draws(rank, 2)):
            parts.append(layer(ones[:4]))
    assert torch.equal(whole, torch.cat(parts))
    assert set(whole.unique().tolist()) == {0.0, 2.0}


def test_each_dropout_and_each_of_its_calls_has_holes_of_its_own():
    network = nn.Sequential(Dropout(), nn.Dropout())
    name_dropouts("judge", network)
    ones = torch.ones(8, 50, dtype=torch.float64)
    with drawing_from(draws()):
        found = [network[0](ones), network[0](ones), network[1](ones)]
    assert isinstance(network[1], Dropout)
    assert not any(torch.equal(a, b) for n, a in enumerate(found) for b in found[:n])


def test_reals_and_fakes_in_a_row_have_holes_of_their_own():
    with drawing_from(draws()):
        both = Dropout()(torch.ones(16, 50, dtype=torch.float64))
    assert not torch.equal(both[:8], both[8:])


def test_dropout_of_channels_takes_whole_ones():
    with drawing_from(draws()):
        dropped = Dropout(channels=True)(torch.ones(8, 5, 3, 3, dtype=torch.float64))
    assert torch.equal(dropped, dropped[:, :, :1, :1].expand_as(dropped))


def test_dropout_rests_in_sampling_unless_it_is_wanted():
    ones = torch.ones(4, 50)
    assert torch.equal(Dropout().eval()(ones), ones)
    rows = RowDraws(seed=1, rows=range(4, 8), device=CPU)
    with drawing_from(rows):
        kept = Dropout(in_sampling=True).eval()(ones)
    with drawing_from(RowDraws(seed=1, rows=range(6, 8), device=CPU)):
        assert torch.equal(Dropout(in_sampling=True).eval()(ones[:2]), kept[2:])


def test_without_a_source_a_draw_says_so():
    with pytest.raises(RuntimeError, match="'noise' draws random numbers, and no source is at work"):
        drawn("noise", 4, 1)


class Careless(DCGAN):
    """Its generator draws from torch's own generator."""

    def generate(self, network: nn.Module, latents: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        samples = super().generate(network, latents, labels)
        return samples + 0.1 * torch.randn_like(samples)


def test_draws_from_torchs_own_generator_are_refused_before_the_first_step(tmp_path: Path):
    asked = settings("dcgan", family_object=Careless)
    with pytest.raises(UnkeyedRandomness, match=r"phase 'discriminator' draws from torch's own generator"):
        trained(packed(tmp_path / "data"), tmp_path / "work", asked)


def pooled(rank: int, world: int, steps: int = 12) -> list[torch.Tensor]:
    """What a pool of 12 pictures gives for numbered fakes; a batch of 8 has 2 slots a position."""
    pool = ImagePool((1, 1, 1), size=12)
    own = draws(rank, world)
    pool.place(own.share)
    found = []
    for step in range(steps):
        fakes = torch.tensor([[[[float(100 * step + position)]]] for position in own.share.samples])
        found.append(pool(fakes, draws(rank, world, step)).flatten())
    return found


def test_a_pool_gives_the_same_for_any_number_of_workers():
    alone = pooled(0, 1)
    for world in (2, 4):
        parts = [pooled(rank, world) for rank in range(world)]
        for step, whole in enumerate(alone):
            assert torch.equal(whole, torch.cat([part[step] for part in parts]))


def test_a_pool_gives_new_fakes_while_it_has_room_and_then_earlier_ones_of_the_position_half_of_the_time():
    found = pooled(0, 1, steps=200)
    assert all(torch.equal(given, 100.0 * step + torch.arange(8)) for step, given in enumerate(found[:2]))
    later = torch.stack(found[2:])
    assert torch.equal(later % 100, torch.arange(8.0).expand_as(later))
    is_new = later // 100 == torch.arange(2, 200)[:, None]
    assert 0.4 < is_new.double().mean() < 0.6
    assert (later // 100 <= torch.arange(2, 200)[:, None]).all()


def test_what_a_pool_gave_away_it_gives_again_only_where_it_was_new_while_there_was_room():
    given = torch.stack(pooled(0, 1, steps=100)).T
    for row in given:
        values, counts = row.unique(return_counts=True)
        assert set((values[counts > 1] // 100).tolist()) <= {0.0, 1.0}
        assert counts.max() <= 2
