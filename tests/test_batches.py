"""Batches hold what their members hold."""

import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from captioning.data.batches import FeatureDataset, Item, PhotoDataset, longest_captions, mentions_side, pad_collate
from captioning.data.samplers import Draw, SortishSampler
from captioning.vocabulary import PAD
from tests.helpers import make_photos


def random_captions(count: int, seed: int = 0) -> list[list[list[int]]]:
    draw = random.Random(seed)
    return [
        [[1, *(draw.randint(4, 30) for _ in range(draw.randint(1, 20))), 2] for _ in range(draw.randint(1, 5))]
        for _ in range(count)
    ]


def random_items(count: int) -> list[Item]:
    return [Item(index, torch.randn(4, 3).half(), captions) for index, captions in enumerate(random_captions(count))]


def test_a_batch_holds_its_photos_from_the_longest_caption_to_the_shortest():
    items = random_items(9)
    batch = pad_collate(items)
    longest = [max(len(caption) for caption in items[index].captions) for index in batch.indices]
    assert sorted(batch.indices.tolist()) == list(range(9))
    assert longest == sorted(longest, reverse=True)
    assert batch.captions.shape == (9, max(len(item.captions) for item in items), longest[0])
    for index, features, rows in zip(batch.indices, batch.inputs, batch.captions, strict=True):
        assert torch.equal(features, items[index].inputs)
        captions = items[index].captions
        for row, caption in enumerate(rows.tolist()):
            expected = captions[row] if row < len(captions) else []
            assert caption[: len(expected)] == expected
            assert set(caption[len(expected) :]) <= {PAD}


def test_a_batch_of_one_has_no_padding_of_its_own():
    batch = pad_collate([Item(7, torch.randn(4, 3), [[1, 5, 2], [1, 2]])])
    assert batch.indices.tolist() == [7]
    assert batch.captions.tolist() == [[[1, 5, 2], [1, 2, PAD]]]


def test_the_random_view_of_a_photo_depends_on_its_seed_alone(tmp_path):
    photos = make_photos(tmp_path, ["0.png", "1.png"])
    dataset = PhotoDataset(photos, [[[1, 5, 2]]] * 2, [True] * 2, 64, 0.5)
    first = dataset[Draw(0, 7)].inputs
    state = torch.get_rng_state()
    dataset[Draw(1, 3)]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(dataset[Draw(0, 7)].inputs, first)
    assert not torch.equal(dataset[Draw(0, 8)].inputs, first)


@pytest.mark.parametrize(
    ("captions", "expected"),
    [
        ([["a", "dog", "on", "the", "left"]], True),
        ([["a", "dog"], ["his", "right", "hand"]], True),
        ([["a", "dog"], ["a", "bright", "leftover"]], False),
        ([], False),
    ],
)
def test_left_and_right_are_noticed_in_any_caption(captions, expected):
    assert mentions_side(captions) is expected


def test_the_mirror_image_is_drawn_half_the_time_but_never_where_it_would_lie():
    views = np.zeros((2, 2, 4, 3), dtype=np.float16)
    views[:, 1] = 1
    captions = [[["a", "dog"]], [["a", "dog", "on", "the", "left"]]]
    dataset = FeatureDataset(views, [[[1, 5, 2]]] * 2, [not mentions_side(tokens) for tokens in captions])
    seeds = torch.randint(2**31, (200,), generator=torch.manual_seed(0)).tolist()
    drawn = np.array([[int(dataset[Draw(index, seed)].inputs[0, 0]) for index in range(2)] for seed in seeds])
    assert 60 < drawn[:, 0].sum() < 140
    assert drawn[:, 1].sum() == 0


def test_a_loader_gives_every_photo_its_own_features_and_captions():
    captions = random_captions(21)
    features = np.arange(21, dtype=np.float16)[:, None, None, None] * np.ones((1, 1, 4, 3), dtype=np.float16)
    dataset = FeatureDataset(features, captions, [True] * 21)
    lengths = longest_captions(captions)
    assert lengths == [max(map(len, photo)) for photo in captions]
    sampler = SortishSampler(lengths, batch_size=4, seed=0)
    seen = []
    for batch in DataLoader(dataset, 4, sampler=sampler, collate_fn=pad_collate):
        for index, grid, rows in zip(batch.indices.tolist(), batch.inputs, batch.captions.tolist(), strict=True):
            seen.append(index)
            assert (grid == index).all()
            assert [[token for token in row if token != PAD] for row in rows][: len(captions[index])] == captions[index]
    assert sorted(seen) == list(range(21))
