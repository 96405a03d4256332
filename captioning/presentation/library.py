"""What the page can show: photos of a gallery or a data set, and checkpoints."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from captioning.data.datasets import CaptionDataset, Example
from captioning.images import open_image
from captioning.vocabulary import tokenize

# Of a data set, what the model was not trained on.
SPLITS = ("dev", "test")


@dataclass(frozen=True)
class Photo:
    """A photo on the page.

    Attributes:
        title: what to call it.
        image: its pixels.
        key: the same for the same pixels.
        references: its reference captions, if it comes from a data set.
    """

    title: str
    image: Image.Image
    key: str
    references: tuple[str, ...] = ()


@dataclass(frozen=True)
class Version:
    """A checkpoint file as it was when it was loaded, so that a replaced one is loaded anew."""

    path: Path
    modified: int


@dataclass(frozen=True)
class Library:
    """The photos on offer: titles and files of a gallery, and a data set if one was named."""

    gallery: dict[str, Path]
    dataset: CaptionDataset | None

    @property
    def splits(self) -> list[str]:
        """The splits of the data set that can be browsed."""
        return [split for split in SPLITS if self.examples(split)]

    def examples(self, split: str) -> dict[str, Example]:
        """A split's examples by file name."""
        return {example.photo.name: example for example in self.dataset.splits[split]} if self.dataset else {}

    def search(self, split: str, words: str) -> list[str]:
        """File names of the photos whose reference captions, taken together, have all these words."""
        wanted = set(tokenize(words))
        return [
            name
            for name, example in self.examples(split).items()
            if wanted <= set(tokenize(" ".join(example.captions)))
        ]


def read_photo(title: str, source: Path | bytes, references: tuple[str, ...] = ()) -> Photo:
    """Open a photo.

    Raises:
        ImageError: it cannot be read.
    """
    if isinstance(source, bytes):
        source = io.BytesIO(source)
        # What messages call it.
        source.name = title
    image = open_image(source)
    return Photo(title, image, hashlib.sha256(image.tobytes()).hexdigest(), references)


def read_version(path: Path) -> Version:
    """The file as it is now."""
    return Version(path, path.stat().st_mtime_ns)
