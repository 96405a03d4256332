"""Splits as training reads them, in batches: from the feature cache, or from the photos."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
from torch.utils.data import DataLoader, Dataset

from captioning.data.batches import (
    FeatureDataset,
    PhotoDataset,
    ResumableLoader,
    longest_captions,
    mentions_side,
    pad_collate,
)
from captioning.data.datasets import CaptionDataset
from captioning.data.features import cached_features
from captioning.data.samplers import LengthSortedSampler, SortishSampler
from captioning.inference.runtime import core_count
from captioning.training.task import CaptioningTask
from captioning.vocabulary import TOKENIZER, Vocabulary, tokenize

# Processes that open photos for one GPU.
MOST_READERS = 8


class Split:
    """A split as training reads it: those of several data sets, one after the other.

    Attributes:
        photos: the files.
        tokens: for each photo its tokenized captions.
        may_mirror: for each photo whether its captions fit its mirror image too.
        places: for each data set, by its key, the places of its photos.

    Raises:
        DatasetError: it is empty in one of them.
    """

    def __init__(self, datasets: Sequence[CaptionDataset], name: str, tokenizer: str = TOKENIZER):
        examples, self.places = [], {}
        for dataset in datasets:
            self.places[dataset.key] = range(len(examples), len(examples) + len(dataset.split(name)))
            examples += dataset.split(name)
        self.photos = [example.photo for example in examples]
        self.tokens = [[tokenize(caption, tokenizer) for caption in example.captions] for example in examples]
        self.may_mirror = [not mentions_side(captions) for captions in self.tokens]

    def ids(self, vocabulary: Vocabulary) -> list[list[list[int]]]:
        """For each photo its captions as lists of ids."""
        return [[vocabulary.encode(caption) for caption in captions] for captions in self.tokens]


def train_loader(task: CaptioningTask, split: Split, cache: Path, trainer: lightning.Trainer) -> ResumableLoader:
    """This process's share of the train split, in another order each epoch."""
    dataset = _examples(task, split, cache, training=True)
    size = task.settings.batch_size
    lengths = longest_captions(dataset.captions)
    sampler = SortishSampler(lengths, size, task.seed, trainer.global_rank, trainer.world_size)
    return ResumableLoader(dataset, size, sampler, **_reading_ahead(dataset, trainer))


def dev_loader(task: CaptioningTask, split: Split, cache: Path, trainer: lightning.Trainer) -> DataLoader:
    """This process's share of the dev split."""
    dataset = _examples(task, split, cache, training=False)
    sampler = LengthSortedSampler(longest_captions(dataset.captions), trainer.global_rank, trainer.world_size)
    size = task.settings.batch_size
    return DataLoader(dataset, size, sampler=sampler, collate_fn=pad_collate, **_reading_ahead(dataset, trainer))


def _examples(task: CaptioningTask, split: Split, cache: Path, *, training: bool) -> FeatureDataset | PhotoDataset:
    settings, model, ids = task.settings, task.model, split.ids(task.vocabulary)
    mirror = settings.mirror and training
    may_mirror = [mirror and may for may in split.may_mirror]
    if not settings.uses_cache:
        smallest_crop = settings.smallest_crop if training else 1.0
        return PhotoDataset(split.photos, ids, may_mirror, model.config.image_size, smallest_crop)
    with _first_process_first():
        features = cached_features(cache, model, split.photos, mirror=mirror)
    return FeatureDataset(features, ids, may_mirror)


def _reading_ahead(dataset: Dataset, trainer: lightning.Trainer) -> dict[str, Any]:
    """Options of a loader that opens photos in processes of its own while a GPU computes."""
    if trainer.strategy.root_device.type == "cpu" or not isinstance(dataset, PhotoDataset):
        return {}
    return {"num_workers": max(1, min(MOST_READERS, core_count() // trainer.num_devices)), "persistent_workers": True}


@contextmanager
def _first_process_first() -> Iterator[None]:
    """Let the first process fill the cache before the others read it."""
    several = torch.distributed.is_initialized()
    first = not several or torch.distributed.get_rank() == 0
    if not first:
        torch.distributed.barrier()
    yield
    if several and first:
        torch.distributed.barrier()
