"""What the page offers: photos of a gallery or a data set, and checkpoints."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

import captioning
from captioning.checkpoint import list_checkpoints
from captioning.data.datasets import CaptionDataset, Example
from captioning.data.layouts import SCORED_SPLITS
from captioning.errors import CaptioningError, shown
from captioning.images import open_image

# A gallery of more photos is a list of names in the sidebar.
MAX_THUMBNAILS = 20


@dataclass(frozen=True)
class Photo:
    """A photo on the page.

    Attributes:
        title: what to call it.
        image: its pixels.
        key: the same for the same pixels.
        references: its reference captions, if it comes from a data set.
        credit: who made it and under which licence, if it comes with the app.
    """

    title: str
    image: Image.Image
    key: str
    references: tuple[str, ...] = ()
    credit: str = ""


@dataclass(frozen=True)
class Library:
    """The photos on offer: titles and files of a gallery, and the data sets that were named."""

    gallery: dict[str, Path]
    datasets: tuple[CaptionDataset, ...]

    @property
    def is_large(self) -> bool:
        """Whether its photos are too many to be shown in the sidebar."""
        return bool(self.datasets) or len(self.gallery) > MAX_THUMBNAILS

    @property
    def splits(self) -> list[str]:
        """The splits of the data sets that can be browsed."""
        return [split for split in SCORED_SPLITS if self.examples(split)]

    def examples(self, split: str) -> dict[str, Example]:
        """A split's examples by file name, with the data set's name where an earlier one has the same file name."""
        found: dict[str, Example] = {}
        for dataset in self.datasets:
            for example in dataset.splits[split]:
                name = example.photo.name
                found[f"{name} ({dataset.name})" if name in found else name] = example
        return found


def read_photo(title: str, source: Path | bytes, references: tuple[str, ...] = ()) -> Photo:
    """Open a photo.

    Raises:
        ImageError: it cannot be read.
    """
    image = open_image(source, called=title)
    digest = hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest()
    return Photo(shown(title), image, digest, references)


def offered_checkpoints() -> dict[str, Path]:
    """Names and files of the checkpoints in their folder."""
    return {path.stem: path for path in list_checkpoints(captioning.CHECKPOINT_FOLDER)}


def default_checkpoint(offered: dict[str, Path]) -> str:
    """The name of the checkpoint that a page begins with.

    Raises:
        CaptioningError: there is none.
    """
    if not offered:
        folder = shown(captioning.CHECKPOINT_FOLDER)
        raise CaptioningError(
            f"There is no checkpoint in {folder}: train one with train.py, or name a folder in CAPTIONING_CHECKPOINTS."
        )
    default = captioning.DEFAULT_CHECKPOINT.stem
    return default if default in offered else next(iter(offered))
