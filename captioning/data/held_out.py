"""Photos that one data set holds out and another trains on, found by what they show: names and sizes differ."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from captioning.data.datasets import CaptionDataset, Example
from captioning.images import open_image

# Photos are compared as thumbnails of this side, in gray.
SIDE = 16
# Thumbnails that correlate more are of one photo. Of Flickr8k's photos made smaller and saved again, all correlate with
# themselves by more than 0.99; of the 48 million pairs of Flickr8k and the COCO part, none by more than 0.97.
SAME = 0.98
# Train photos compared at a time, which bounds the memory.
CHUNK = 1000


def without_held_out(datasets: Sequence[CaptionDataset]) -> list[CaptionDataset]:
    """The data sets without those train photos that another of them holds out as dev or test; a crop is not found.

    Raises:
        ImageError: a photo cannot be read.
    """
    train = [_thumbnails(dataset.splits["train"]) for dataset in datasets]
    held_out = [_thumbnails([*dataset.splits["dev"], *dataset.splits["test"]]) for dataset in datasets]
    kept = []
    for index, dataset in enumerate(datasets):
        others = np.concatenate([rows for place, rows in enumerate(held_out) if place != index])
        photos = zip(dataset.splits["train"], _any_same(train[index], others), strict=True)
        unseen = [example for example, seen in photos if not seen]
        kept.append(replace(dataset, splits={**dataset.splits, "train": unseen}))
    return kept


def _thumbnails(examples: Sequence[Example]) -> np.ndarray:
    """(photos, SIDE²), each row with mean 0 and norm 1, so that a product of two is their correlation."""
    with ThreadPoolExecutor() as readers:
        rows = list(readers.map(_thumbnail, (example.photo for example in examples)))
    return np.stack(rows) if rows else np.empty((0, SIDE**2))


def _thumbnail(path: Path) -> np.ndarray:
    gray = open_image(path).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    values = np.asarray(gray, dtype=np.float64).ravel()
    values = values - values.mean()
    # A photo of one colour is like no other.
    return values / max(np.linalg.norm(values), 1.0)


def _any_same(photos: np.ndarray, others: np.ndarray) -> np.ndarray:
    """For each of the photos whether one of the others is the same."""
    chunks = [photos[start : start + CHUNK] for start in range(0, len(photos), CHUNK)]
    return np.concatenate([np.zeros(0, bool), *((chunk @ others.T > SAME).any(axis=1) for chunk in chunks)])
