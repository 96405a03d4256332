"""Photos' features and tokenized captions in batches."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import RandomResizedCrop

from captioning.data.samplers import Draw, SortishSampler
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

    def __getitem__(self, draw: Draw) -> Item:
        index, seed = draw
        views = self.features.shape[1] if self.may_mirror[index] else 1
        view = seed % views
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

    def __getitem__(self, draw: Draw) -> Item:
        index, seed = draw
        photo = open_image(self.photos[index])
        # The random numbers of a photo are its own: which came before it in this process must not matter.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if self.smallest_crop < 1:
                crop: Any = photo  # torchvision takes Pillow's images too, which its types do not say.
                top, left, height, width = RandomResizedCrop.get_params(crop, [self.smallest_crop, 1.0], [0.9, 1.1])
                photo = photo.crop((left, top, left + width, top + height))
            mirrored = self.may_mirror[index] and torch.rand(()) < 0.5
        pixels = torch.from_numpy(to_pixels(photo, self.image_size))
        return Item(index, pixels.flip(-1) if mirrored else pixels, self.captions[index])


def longest_captions(captions: Sequence[Sequence[Sequence[int]]]) -> list[int]:
    """The length of each photo's longest caption: what its place in a batch costs."""
    return [max(len(caption) for caption in photo) for photo in captions]


def mentions_side(captions: Sequence[Sequence[str]]) -> bool:
    """Whether tokenized captions speak of left or right, so that a mirror image would make them untrue."""
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


class ResumableLoader(DataLoader):
    """Batches of the train split; its state says how far the epoch has come, so that a resumed run continues there.

    Args:
        options: further ones of `DataLoader`.

    Attributes:
        done: batches of the epoch that have been trained on; whoever trains keeps it up to date.
    """

    def __init__(self, dataset: Dataset, batch_size: int, sampler: SortishSampler, **options: Any):
        # A generator of its own: a loader draws a number when it is made, and a resumed run makes it at another moment.
        generator = torch.Generator()
        super().__init__(dataset, batch_size, sampler=sampler, collate_fn=pad_collate, generator=generator, **options)
        self._order, self._size = sampler, batch_size
        self.done = 0

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self._order.epoch, "done": self.done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._order.start_at(state["epoch"], state["done"] * self._size)
