"""Readers of the published captioning data sets: Flickr8k, its Kaggle edition, and the Karpathy JSON files."""

import codecs
import csv
import hashlib
import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TextIO

from captioning.errors import DatasetError
from captioning.record import DataSetRecord
from captioning.vocabulary import tokenize

SPLITS = ("train", "dev", "test")

_KARPATHY_SPLITS = {"train": "train", "restval": "train", "val": "dev", "test": "test"}
_PHOTO_FOLDERS = ("", "Images", "images", "Flicker8k_Dataset", "Flickr8k_Dataset", "flickr30k-images")


@dataclass(frozen=True)
class Example:
    """A photo and its reference captions, as they are written in the data set."""

    photo: Path
    captions: tuple[str, ...]


@dataclass(frozen=True)
class CaptionDataset:
    """A data set in splits.

    Attributes:
        name: which published layout it is.
        splits: `train`, `dev` and `test`, each in the data set's own order.
        without_photo: names that have captions or stand in a split, but whose photo is not there.
        without_captions: names that stand in a split, but have no caption.
    """

    name: str
    splits: dict[str, list[Example]]
    without_photo: int
    without_captions: int

    @property
    def key(self) -> str:
        """The name as an identifier, for columns of tables."""
        return re.sub(r"\W+", "_", self.name.lower()).strip("_")

    @property
    def sizes(self) -> dict[str, int]:
        """How many photos each split has."""
        return {split: len(self.splits[split]) for split in SPLITS}

    @property
    def about(self) -> DataSetRecord:
        """What a training record says of it: its name and how many photos each split has."""
        sizes = self.sizes
        return DataSetRecord(name=self.name, train=sizes["train"], dev=sizes["dev"], test=sizes["test"])

    def describe(self) -> str:
        """One sentence: what was read and what was left out."""
        sizes = " / ".join(f"{size:,}" for size in self.sizes.values())
        dropped = f"{self.without_photo} left out for want of a photo, {self.without_captions} for want of a caption"
        return f"{self.name}: {sizes} photos in {' / '.join(SPLITS)}; {dropped}."

    def split(self, name: str) -> list[Example]:
        """One split's examples.

        Raises:
            DatasetError: it is empty.
        """
        if not self.splits[name]:
            raise DatasetError(f"The {name} split of this data set ({self.name}) is empty: check its files.")
        return self.splits[name]


def read_dataset(folder: Path | str) -> CaptionDataset:
    """Read a data set, whichever of the published layouts it has.

    Raises:
        DatasetError: there is no such folder, no captions file in it, or nothing usable in that.
    """
    folder = Path(folder)
    published = folder / "Flickr8k_text" / "Flickr8k.token.txt"
    kaggle = folder / "captions.txt"
    try:
        if not folder.is_dir():
            raise DatasetError(f"There is no data set folder {folder}: check the path.")
        karpathy = sorted(path for path in folder.glob("dataset*.json") if path.is_file())
        if karpathy:
            return _read_karpathy(karpathy[0])
        if published.is_file():
            return _read_published(folder, published)
        if kaggle.is_file():
            return _read_kaggle(folder, kaggle)
    except OSError as error:
        raise DatasetError(f"{error.filename} cannot be read ({error.strerror}): check its permissions.") from None
    raise DatasetError(
        f"{folder} holds no captions: expected Flickr8k_text/Flickr8k.token.txt, captions.txt (Kaggle) "
        "or dataset_*.json (Karpathy)."
    )


def _read_published(folder: Path, token_file: Path) -> CaptionDataset:
    captions = defaultdict(list)
    with _open(token_file) as lines:
        for line in lines:
            key, tab, caption = line.rstrip("\n").partition("\t")
            if tab:
                captions[key.rpartition("#")[0]].append(caption)
    splits = {}
    for split in SPLITS:
        listing = token_file.parent / f"Flickr_8k.{split}Images.txt"
        if not listing.is_file():
            raise DatasetError(f"{listing} is missing: it lists the photos of the {split} split.")
        with _open(listing) as lines:
            splits[split] = [line.strip() for line in lines if line.strip()]
    return _assemble("Flickr8k", folder / "Flicker8k_Dataset", captions, splits)


def _read_kaggle(folder: Path, captions_file: Path) -> CaptionDataset:
    captions = defaultdict(list)
    rows = _rows(captions_file)
    if [cell.strip() for cell in next(rows, [])] != ["image", "caption"]:
        raise DatasetError(f"{captions_file} does not begin with the columns image,caption: check the file.")
    for row in rows:
        if len(row) >= 2:
            # Captions with commas that were written without quotes come as further cells.
            captions[row[0].strip()].append(",".join(row[1:]))
    return _assemble("Flickr8k, Kaggle edition", folder / "Images", captions, _split_by_name(captions))


def _rows(path: Path) -> Iterator[list[str]]:
    try:
        with _open(path) as lines:
            reader = csv.reader(lines)
            for number, row in enumerate(reader, start=1):
                # The lines that a quote takes in would be lost without a word.
                if reader.line_num > number:
                    raise DatasetError(f"Line {number} of {path} does not end all its quotes: close them.")
                yield row
    except csv.Error as error:
        raise DatasetError(f"{path} is no CSV file ({error}): download it again.") from None


def _split_by_name(names: Iterable[str]) -> dict[str, list[str]]:
    """This edition comes without splits: an eighth each for dev and test, fixed by the names alone."""
    ordered = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    eighth = max(1, len(ordered) // 8)
    return {"train": ordered[2 * eighth :], "dev": ordered[:eighth], "test": ordered[eighth : 2 * eighth]}


def _read_karpathy(path: Path) -> CaptionDataset:
    captions, splits = {}, {split: [] for split in SPLITS}
    try:
        with _open(path) as file:
            images = json.load(file)["images"]
        for image in images:
            name = str(Path(image.get("filepath", ""), image["filename"]))
            captions[name] = [(s.get("raw") or " ".join(s["tokens"])).strip() for s in image["sentences"]]
            splits[_KARPATHY_SPLITS[image["split"]]].append(name)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DatasetError(f"{path} is not a Karpathy data set ({error!r}): download it again.") from None
    return _assemble(path.stem, path.parent, captions, splits)


def _assemble(name: str, photos: Path, captions: dict[str, list[str]], splits: dict[str, list[str]]) -> CaptionDataset:
    """Pair names with files, leaving out what has no photo or no caption."""
    listed = [photo for names in splits.values() for photo in names]
    twice = next((photo for photo, count in Counter(listed).items() if count > 1), None)
    if twice is not None:
        raise DatasetError(f"{twice!r} is listed twice in the splits of {name}: list every photo once.")
    # A caption of punctuation alone says nothing.
    spoken = {photo: tuple(text for text in texts if tokenize(text)) for photo, texts in captions.items()}
    places = [place for place in (photos / folder for folder in _PHOTO_FOLDERS) if place.is_dir()]
    files = {photo: _find_photo(places, photo) for photo in {*listed, *captions}}
    usable = {
        split: [Example(file, spoken[photo]) for photo in names if (file := files[photo]) and spoken.get(photo)]
        for split, names in splits.items()
    }
    if not any(usable.values()):
        raise DatasetError(f"None of the photos that {name} lists is there with a caption: check {photos}.")
    return CaptionDataset(
        name,
        usable,
        without_photo=sum(file is None for file in files.values()),
        without_captions=sum(not spoken.get(photo) for photo in listed),
    )


def _find_photo(places: list[Path], name: str) -> Path | None:
    # What lies outside the folder is no photo of the data set, whoever lists it, nor is what no page can name.
    if PurePath(name).is_absolute() or ".." in PurePath(name).parts or not name.isprintable():
        return None
    # Not `Path.is_file`, which raises where a name is too long to be one.
    return next((path for path in (place / name for place in places) if os.path.isfile(path)), None)


def _open(path: Path) -> TextIO:
    """The text of a file, in UTF-8 or in the UTF-16 that spreadsheets write, which begins with a mark of its own."""
    with path.open("rb") as file:
        mark = file.read(2)
    encoding = "utf-16" if mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    return path.open(encoding=encoding, errors="replace")
