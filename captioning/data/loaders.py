"""Photos' features and tokenized captions in batches."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler
from torchvision.transforms import RandomResizedCrop

from captioning.images import open_image, to_pixels
from captioning.vocabulary import PAD

# Words that a mirror image would make untrue.
SIDES = frozenset({"left", "right"})


class Item(NamedTuple):
    """A photo: its place in the split, features (L, D) or pixels (3, S, S), and captions as lists of ids."""

    index: int
    inputs: torch.Tensor
    captions: list[list[int]]


class Batch(NamedTuple):
    """N photos in order of falling caption length: places in the split (N,), inputs (N, …), captions (N, K, T).

    Inputs are features or pixels, as the data set gives them. Captions are padded with `<pad>`; a photo with fewer
    than K captions has rows of nothing else.
    """

    indices: torch.Tensor
    inputs: torch.Tensor
    captions: torch.Tensor


class FeatureDataset(Dataset):
    """Cached features beside encoded captions.

    Args:
        features: (photos, views, L, D) as `cached_features` gives them; where there are two views, one is drawn.
        captions: for every photo its captions as lists of ids.
        may_mirror: for every photo whether its second view may be drawn.
    """

    def __init__(self, features: np.ndarray, captions: list[list[list[int]]], may_mirror: list[bool]):
        self.features, self.captions, self.may_mirror = features, captions, may_mirror

    def __len__(self) -> int:
        return len(self.captions)

    def __getitem__(self, index: int) -> Item:
        views = self.features.shape[1] if self.may_mirror[index] else 1
        view = int(torch.randint(views, ()))
        return Item(index, torch.from_numpy(self.features[index, view].astype(np.float32)), self.captions[index])


class PhotoDataset(Dataset):
    """Photos beside encoded captions, for training the encoder too.

    Args:
        photos: the files.
        captions: for every photo its captions as lists of ids.
        may_mirror: for every photo whether its mirror image may be drawn.
        image_size: height and width of the pixels.
        smallest_crop: the least share of its area that a random crop keeps; 1 keeps the whole photo.
    """

    def __init__(
        self,
        photos: list[Path],
        captions: list[list[list[int]]],
        may_mirror: list[bool],
        image_size: int,
        smallest_crop: float,
    ):
        self.photos, self.captions, self.may_mirror = photos, captions, may_mirror
        self.image_size, self.smallest_crop = image_size, smallest_crop

    def __len__(self) -> int:
        return len(self.captions)

    def __getitem__(self, index: int) -> Item:
        photo = open_image(self.photos[index])
        if self.smallest_crop < 1:
            top, left, height, width = RandomResizedCrop.get_params(photo, [self.smallest_crop, 1.0], [0.9, 1.1])
            photo = photo.crop((left, top, left + width, top + height))
        pixels = to_pixels(photo, self.image_size)
        if self.may_mirror[index] and torch.rand(()) < 0.5:
            pixels = pixels.flip(-1)
        return Item(index, pixels, self.captions[index])


def longest_captions(captions: Sequence[Sequence[Sequence[int]]]) -> list[int]:
    """The length of each photo's longest caption: what its place in a batch costs."""
    return [max(len(caption) for caption in photo) for photo in captions]


def mentions_side(captions: Sequence[Sequence[str]]) -> bool:
    """Whether tokenized captions speak of left or right, so that a mirror image would belie them."""
    return any(not SIDES.isdisjoint(tokens) for tokens in captions)


def pad_collate(items: Sequence[Item]) -> Batch:
    """Batch photos, longest caption first, their captions padded to the longest of all."""
    items = sorted(items, key=lambda item: -max(len(caption) for caption in item.captions))
    rows = max(len(item.captions) for item in items)
    steps = max(len(caption) for caption in items[0].captions)
    captions = torch.full((len(items), rows, steps), PAD)
    for photo, item in enumerate(items):
        for row, caption in enumerate(item.captions):
            captions[photo, row, : len(caption)] = torch.tensor(caption)
    return Batch(torch.tensor([item.index for item in items]), torch.stack([item.inputs for item in items]), captions)


class LengthSortedSampler(Sampler[int]):
    """All items from the longest to the shortest: the least padding, for when order does not matter."""

    def __init__(self, lengths: Sequence[int]):
        self._order = sorted(range(len(lengths)), key=lambda index: -lengths[index])

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[int]:
        return iter(self._order)


class SortishSampler(Sampler[int]):
    """A random order in which neighbours have similar lengths, another in each epoch.

    The items are shuffled and cut into chunks of many batches; each chunk is sorted by length, and its batches are
    shuffled among themselves.
    """

    BATCHES_PER_CHUNK = 30

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int):
        self._lengths = torch.tensor(lengths)
        self._batch_size, self._seed, self._epoch = batch_size, seed, 0

    def __len__(self) -> int:
        return len(self._lengths)

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self._epoch)
        shuffled = torch.randperm(len(self), generator=generator)
        for chunk in shuffled.split(self._batch_size * self.BATCHES_PER_CHUNK):
            batches = chunk[self._lengths[chunk].argsort(descending=True, stable=True)].split(self._batch_size)
            # The short batch stays last, or all that follow would be cut askew.
            order = torch.randperm(len(chunk) // self._batch_size, generator=generator).tolist()
            for batch in order + list(range(len(order), len(batches))):
                yield from batches[batch].tolist()
