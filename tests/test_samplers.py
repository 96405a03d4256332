"""Orders visit everything, alike in all processes, and waste little."""

import random
from collections.abc import Iterable

import pytest

from captioning.data.samplers import Draw, LengthSortedSampler, SortishSampler


def random_lengths(count: int) -> list[int]:
    draw = random.Random(0)
    return [draw.randint(3, 22) for _ in range(count)]


def padding(order: list[int], lengths: list[int], batch_size: int) -> int:
    """Steps that are computed for photos whose captions are over."""
    batches = [[lengths[index] for index in order[at : at + batch_size]] for at in range(0, len(order), batch_size)]
    return sum(max(batch) * len(batch) - sum(batch) for batch in batches)


def places(sampler: Iterable[Draw]) -> list[int]:
    return [draw.index for draw in sampler]


@pytest.mark.parametrize("count", [1, 7, 64, 1000])
def test_sortish_order_visits_everything_once_and_differs_in_each_epoch(count):
    lengths = random_lengths(count)
    orders = []
    for epoch in range(3):
        sampler = SortishSampler(lengths, batch_size=8, seed=5)
        sampler.set_epoch(epoch)
        orders.append(places(sampler))
        assert len(sampler) == count
        assert sorted(orders[-1]) == list(range(count))
        assert places(sampler) == orders[-1]
    # Within one batch the order is by length alone.
    if count > 8:
        assert orders[0] != orders[1] != orders[2] != orders[0]
        assert places(SortishSampler(lengths, batch_size=8, seed=6)) != orders[0]


@pytest.mark.parametrize(("count", "world_size"), [(64, 2), (1003, 2), (1003, 4), (5, 4)])
def test_several_processes_share_the_order_in_as_many_steps(count, world_size):
    lengths = random_lengths(count)
    shares = [list(SortishSampler(lengths, 8, 5, rank, world_size)) for rank in range(world_size)]
    assert {len(share) for share in shares} == {-(-count // world_size)}
    assert {draw.index for share in shares for draw in share} == set(range(count))
    together = SortishSampler(lengths, 8 * world_size, 5)
    if count % world_size == 0:
        assert [draw for group in zip(*shares, strict=True) for draw in group] == list(together)


def test_an_order_begun_in_the_middle_is_the_rest_of_it():
    lengths = random_lengths(50)
    sampler = SortishSampler(lengths, 8, 5)
    sampler.set_epoch(3)
    whole = list(sampler)
    sampler.start_at(3, 16)
    sampler.set_epoch(3)
    assert list(sampler) == whole[16:]
    sampler.set_epoch(4)
    assert len(list(sampler)) == 50


def test_sortish_order_needs_far_less_padding_than_a_random_one():
    lengths = random_lengths(1003)
    sortish = padding(places(SortishSampler(lengths, batch_size=8, seed=0)), lengths, 8)
    shuffled = padding(random.Random(0).sample(range(1003), 1003), lengths, 8)
    falling = padding(places(LengthSortedSampler(lengths)), lengths, 8)
    assert falling <= sortish < shuffled / 4


def test_length_sorted_order_falls_and_visits_everything_once():
    lengths = [5, 9, 1, 9, 3]
    sampler = LengthSortedSampler(lengths)
    assert places(sampler) == places(sampler) == [1, 3, 0, 4, 2]
    assert len(sampler) == 5
