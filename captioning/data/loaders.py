"""Photos' features and tokenized captions in batches."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision.transforms import RandomResizedCrop

from captioning.images import open_image, to_pixels
from captioning.vocabulary import PAD

# Words that a mirror image would make untrue.
SIDES = frozenset({"left", "right"})


class Draw(NamedTuple):
    """What a sampler asks a data set for: the photo at a place in the split, and the seed of its random view."""

    index: int
    seed: int = 0


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
                top, left, height, width = RandomResizedCrop.get_params(photo, [self.smallest_crop, 1.0], [0.9, 1.1])
                photo = photo.crop((left, top, left + width, top + height))
            mirrored = self.may_mirror[index] and torch.rand(()) < 0.5
        pixels = torch.from_numpy(to_pixels(photo, self.image_size))
        return Item(index, pixels.flip(-1) if mirrored else pixels, self.captions[index])


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


class LengthSortedSampler(Sampler[Draw]):
    """All items from the longest to the shortest: the least padding, for when order does not matter.

    Args:
        lengths: of the items.
        rank, world_size: which of how many processes asks; each gets its share.
    """

    def __init__(self, lengths: Sequence[int], rank: int = 0, world_size: int = 1):
        self._order = sorted(range(len(lengths)), key=lambda index: -lengths[index])[rank::world_size]

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Draw]:
        return map(Draw, self._order)


class SortishSampler(Sampler[Draw]):
    """A random order in which neighbours have similar lengths, another in each epoch, the same for the same seed.

    The items are shuffled and cut into chunks of many batches; each chunk is sorted by length, and its batches are
    shuffled among themselves. Several processes share each batch; a few items come twice where they do not come out
    even, so that all processes take as many steps.

    Args:
        lengths: of the items.
        batch_size: of each process.
        seed: of the order and of the items' random views.
        rank, world_size: which of how many processes asks.
    """

    BATCHES_PER_CHUNK = 30

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int, rank: int = 0, world_size: int = 1):
        self._lengths = torch.tensor(lengths)
        self._batch_size = batch_size * world_size
        self._seed, self._epoch, self._start = seed, 0, 0
        self._rank, self._world_size = rank, world_size

    def __len__(self) -> int:
        return -(-len(self._lengths) // self._world_size)

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch."""
        if epoch != self._epoch:
            self._epoch, self._start = epoch, 0

    def start_at(self, epoch: int, item: int) -> None:
        """Begin this epoch at a later item, as a run does that is resumed."""
        self._epoch, self._start = epoch, item

    @property
    def epoch(self) -> int:
        return self._epoch

    def __iter__(self) -> Iterator[Draw]:
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self._epoch)
        order = self._order(generator)
        seeds = torch.randint(2**31, (len(order),), generator=generator).tolist()
        draws = [Draw(*pair) for pair in zip(order, seeds, strict=True)]
        return iter(draws[self._rank :: self._world_size][self._start :])

    def _order(self, generator: torch.Generator) -> list[int]:
        shuffled = torch.randperm(len(self._lengths), generator=generator)
        missing = -len(shuffled) % self._world_size
        shuffled = torch.cat([shuffled, shuffled[:missing]])
        order: list[int] = []
        for chunk in shuffled.split(self._batch_size * self.BATCHES_PER_CHUNK):
            batches = chunk[self._lengths[chunk].argsort(descending=True, stable=True)].split(self._batch_size)
            # The short batch stays last, or all that follow would be cut askew.
            places = torch.randperm(len(chunk) // self._batch_size, generator=generator).tolist()
            for place in places + list(range(len(places), len(batches))):
                order += batches[place].tolist()
        return order


class ResumableLoader(DataLoader):
    """Batches of the train split; its state says how far the epoch has come, so that a resumed run goes on there.

    Attributes:
        done: batches of the epoch that have been trained on; whoever trains keeps it up to date.
    """

    def __init__(self, dataset: Dataset, batch_size: int, sampler: SortishSampler):
        # A generator of its own: a loader draws a number when it is made, and a resumed run makes it at another moment.
        super().__init__(dataset, batch_size, sampler=sampler, collate_fn=pad_collate, generator=torch.Generator())
        self.done = 0

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.sampler.epoch, "done": self.done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.sampler.start_at(state["epoch"], state["done"] * self.batch_size)
