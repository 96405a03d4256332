"""The order in which items are taken: by length, or at random with neighbours of similar length."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch.utils.data import Sampler


class Draw(NamedTuple):
    """What a sampler asks a data set for: the photo at a place in the split, and the seed of its random view."""

    index: int
    seed: int = 0


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
            # The short batch stays last, or all batches after it would be cut at other places.
            places = torch.randperm(len(chunk) // self._batch_size, generator=generator).tolist()
            for place in places + list(range(len(places), len(batches))):
                order += batches[place].tolist()
        return order
