"""The layouts of captioning data sets: by which files one is recognised, and how those are read.

To add a layout, write its reader and give it an entry in LAYOUTS.
"""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePath
from typing import Any

from captioning.data.tables import SPLIT_NAMES, open_text, read_table
from captioning.errors import DatasetError, shown

SPLITS = ("train", "dev", "test")
# Those that training leaves out.
SCORED_SPLITS = SPLITS[1:]
# Of photos without a split, those that dev and test get each.
HELD_OUT = 8
# What the data sets are called whose splits Karpathy published, by the names of their files.
KARPATHY_NAMES = {"dataset_flickr8k": "Flickr8k", "dataset_flickr30k": "Flickr30k", "dataset_coco": "COCO"}


@dataclass(frozen=True)
class Listing:
    """What a data set's files say, before its photos are looked for.

    Attributes:
        name: of the data set.
        captions: of every photo, by its name: that of its file, with as many of its folders as are known.
        splits: names of photos, in the data set's own order.
    """

    name: str
    captions: Mapping[str, Sequence[str]]
    splits: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Layout:
    """A way in which data sets are kept.

    Attributes:
        name: whose it is.
        files: patterns of the files with its captions, below the data set's folder, in lower case: that of a name does
            not matter.
        read: from that folder and such files to what may be the data set. Of several, that with most photos is taken.
    """

    name: str
    files: tuple[str, ...]
    read: Callable[[Path, Sequence[Path]], Iterator[Listing]]

    def choose(self, folder: Path, paths: Iterable[Path]) -> list[Path]:
        """Its own among files below a folder."""
        return sorted(path for path in paths if self.has(path.relative_to(folder).as_posix()))

    def has(self, name: str) -> bool:
        """Whether a file of this name, below the data set's folder, is of the layout."""
        name = name.lower()
        # As many strokes as the pattern: a * stands for none.
        return any(name.count("/") == each.count("/") and fnmatchcase(name, each) for each in self.files)


def read_karpathy(folder: Path, files: Sequence[Path]) -> Iterator[Listing]:
    """Karpathy's JSON files, each of them a data set: photos with their split and their sentences."""
    for path in files:
        captions, splits = {}, {split: [] for split in SPLITS}
        with _read_as(path, "a data set in Karpathy's layout"):
            for image in _load_json(path)["images"]:
                name = str(PurePath(image.get("filepath", ""), image["filename"]))
                captions[name] = [(s.get("raw") or " ".join(s["tokens"])).strip() for s in image["sentences"]]
                splits[SPLIT_NAMES[image["split"]]].append(name)
        yield Listing(KARPATHY_NAMES.get(path.stem.lower(), path.stem), captions, splits)


def read_coco(folder: Path, files: Sequence[Path]) -> Iterator[Listing]:
    """COCO's own annotations, those of a year a data set: its train photos, and its val photos as dev."""
    years = defaultdict(list)
    for path in files:
        years[re.sub(r"\D", "", path.stem)].append(path)
    for year, of_year in sorted(years.items()):
        captions, splits = {}, {split: [] for split in SPLITS}
        for path in of_year:
            found = _coco_captions(path)
            captions |= found
            split = next((name for name in SPLIT_NAMES if name in path.stem.lower()), None)
            placed = {SPLIT_NAMES[split]: list(found)} if split else split_by_name(found)
            for name, photos in placed.items():
                splits[name] += photos
        yield Listing(f"COCO {year}".strip(), captions, splits)


def read_flickr8k(folder: Path, files: Sequence[Path]) -> Iterator[Listing]:
    """Flickr8k as it was published: a file of captions, and beside it three that list the photos of each split."""
    for path in files:
        listings = {split: path.parent / f"Flickr_8k.{split}Images.txt" for split in SPLITS}
        missing = [split for split in SPLITS if not listings[split].is_file()]
        if missing:
            listing = listings[missing[0]]
            raise DatasetError(f"{listing} is missing: it lists the photos of the {missing[0]} split.")
        splits = {}
        for split, listing in listings.items():
            with open_text(listing) as lines:
                splits[split] = [line.strip() for line in lines if line.strip()]
        yield Listing("Flickr8k", _token_captions(path), splits)


def read_flickr30k(folder: Path, files: Sequence[Path]) -> Iterator[Listing]:
    """Flickr30k as it was published: a file of captions, without splits."""
    for path in files:
        captions = _token_captions(path)
        yield Listing("Flickr30k", captions, split_by_name(captions))


def read_tables(folder: Path, files: Sequence[Path]) -> Iterator[Listing]:
    """Tables, each a data set; those that are named as a split, or lie in a folder so named, are one together."""
    together: dict[object, list[Path]] = defaultdict(list)
    for path in files:
        together["splits" if _split_of(folder, path) else path].append(path)
    complaints = []
    for paths in together.values():
        try:
            yield _read_tables_as_one(folder, paths)
        except DatasetError as error:
            complaints.append(error)
    # A folder may have other tables beside that of its captions.
    if len(complaints) == len(together):
        raise complaints[0]


def split_by_name(names: Iterable[str]) -> dict[str, list[str]]:
    """Splits for photos that have none: an eighth each for dev and test, fixed by the names alone."""
    ordered = sorted(names, key=lambda name: hashlib.sha256(name.encode(errors="surrogatepass")).digest())
    eighth = max(1, len(ordered) // HELD_OUT)
    return {"train": ordered[2 * eighth :], "dev": ordered[:eighth], "test": ordered[eighth : 2 * eighth]}


def read_file(file: Path) -> Iterator[Listing]:
    """What may be the data set of one file, which may have another name than in its layout.

    Raises:
        DatasetError: it is not a table, nor another file of a layout.
    """
    if file.suffix.lower() == ".json":
        with _read_as(file, "a JSON of COCO's or Karpathy's"):
            read = read_coco if "annotations" in _load_json(file) else read_karpathy
    else:
        named = [layout for layout in LAYOUTS if layout.has(file.name)]
        read = named[0].read if named else read_tables
    return read(file.parent, [file])


def _read_tables_as_one(folder: Path, files: Sequence[Path]) -> Listing:
    captions: dict[str, list[str]] = defaultdict(list)
    split_of: dict[str, str | None] = {}
    for path in files:
        of_file = _split_of(folder, path)
        # The same names may stand in the folders of several splits.
        place = path.parent.relative_to(folder) if of_file else PurePath()
        for row in read_table(path):
            photo, split = str(place / row.photo), row.split or of_file
            if split_of.setdefault(photo, split) != split:
                raise DatasetError(f"{photo!r} is in two splits in {path}: give it one.")
            captions[photo].append(row.caption)
    splits = {split: [photo for photo in captions if split_of[photo] == split] for split in SPLITS}
    return Listing(folder.resolve().name, captions, splits if any(splits.values()) else split_by_name(captions))


def _split_of(folder: Path, table: Path) -> str | None:
    """The split that a table is named as, or the folder that it lies in."""
    name = table.stem if table.parent == folder else table.parent.name
    return SPLIT_NAMES.get(name.lower())


def _token_captions(path: Path) -> dict[str, list[str]]:
    """Captions of lines like `1000268201_693b08cb0e.jpg#0⇥A child .`."""
    captions = defaultdict(list)
    with open_text(path) as lines:
        for line in lines:
            key, tab, caption = line.rstrip("\n").partition("\t")
            if tab:
                captions[key.rpartition("#")[0]].append(caption)
    return captions


@contextmanager
def _read_as(path: Path, what: str) -> Iterator[None]:
    """Whatever goes wrong where a JSON is not as it must be comes out as a DatasetError."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DatasetError(f"{path} is not {what} ({shown(repr(error))}): download it again.") from None


def _load_json(path: Path) -> Any:
    with open_text(path) as file:
        return json.load(file)


def _coco_captions(path: Path) -> dict[str, list[str]]:
    with _read_as(path, "one of COCO's files of captions"):
        content = _load_json(path)
        names = {image["id"]: str(PurePath(image["file_name"])) for image in content["images"]}
        captions = {name: [] for name in names.values()}
        for annotation in content["annotations"]:
            captions[names[annotation["image_id"]]].append(annotation["caption"].strip())
    return captions


_TABLES = (
    *("captions.txt", "*.csv", "*.tsv", "*.jsonl", "*/captions.txt", "*/results.csv"),
    *("*/metadata.csv", "*/metadata.jsonl", "*/*/metadata.csv", "*/*/metadata.jsonl"),
)
LAYOUTS = (
    Layout("Karpathy", ("dataset*.json", "caption_datasets/dataset*.json"), read_karpathy),
    Layout("COCO", ("captions_*.json", "annotations/captions_*.json"), read_coco),
    Layout("Flickr8k", ("flickr8k.token.txt", "*/flickr8k.token.txt", "*/*/flickr8k.token.txt"), read_flickr8k),
    Layout("Flickr30k", ("results_*.token", "*/results_*.token"), read_flickr30k),
    Layout("tables", _TABLES, read_tables),
)
