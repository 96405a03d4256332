"""A data set of photos with captions: from files in one of the layouts to splits of examples."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from captioning.data.layouts import LAYOUTS, SPLITS, Listing, read_file
from captioning.errors import DatasetError, shown
from captioning.images import PHOTO_SUFFIXES
from captioning.record import DataSetRecord
from captioning.vocabulary import tokenize

# How far below a data set's folder photos and files with captions are looked for.
DEEPEST, DEEPEST_CAPTIONS = 4, 2
# How many files of a folder without captions an error names.
NAMED = 5


@dataclass(frozen=True)
class Example:
    """A photo and its reference captions, as they are written in the data set."""

    photo: Path
    captions: tuple[str, ...]


@dataclass(frozen=True)
class CaptionDataset:
    """A data set in splits.

    Attributes:
        name: of a published one its own, else that of its folder or file.
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
        dropped = f"left out: {self.without_photo} without a photo, {self.without_captions} without a caption"
        return f"{self.name}: {sizes} photos in {' / '.join(SPLITS)}; {dropped}."

    def split(self, name: str) -> list[Example]:
        """One split's examples.

        Raises:
            DatasetError: it is empty.
        """
        if not self.splits[name]:
            raise DatasetError(f"The {name} split of this data set ({self.name}) is empty: check its files.")
        return self.splits[name]


def read_dataset(path: Path | str) -> CaptionDataset:
    """Read a data set, in whichever of the LAYOUTS it is; of several in a folder, the one whose photos are there.

    Args:
        path: of its folder, or of the file with its captions.

    Raises:
        DatasetError: there is no such folder or file, no captions in it, or nothing usable in those.
    """
    path = Path(path)
    try:
        if path.is_file():
            return _most_photos(read_file(path), [path.parent, path.absolute().parent.parent])
        if not path.is_dir():
            raise DatasetError(f"There is no data set {path}: check the path.")
        return _read_folder(path)
    except OSError as error:
        raise DatasetError(f"{error.filename} cannot be read ({error.strerror}): check its permissions.") from None


def _read_folder(folder: Path) -> CaptionDataset:
    complaints, paths = [], _caption_files(folder)
    for layout in LAYOUTS:
        if files := layout.choose(folder, paths):
            try:
                return _most_photos(layout.read(folder, files), [folder])
            except DatasetError as error:
                complaints.append(error)
    if complaints:
        raise complaints[0]
    # Photos last: what else there is may be meant as the captions.
    found = sorted(folder.iterdir(), key=lambda path: (path.suffix.lower() in PHOTO_SUFFIXES, path.name))
    names = ", ".join(shown(path.name) for path in found[:NAMED])
    names += f" and {len(found) - NAMED:,} more" if len(found) > NAMED else ""
    raise DatasetError(
        f"{folder} holds no captions in a layout that is known, but {names or 'nothing'}: put a captions.csv with the "
        'columns image,caption beside the photos, or a metadata.jsonl with lines like {"file_name": "1.jpg", '
        '"text": "A dog."}; docs/DATA.md has the other layouts.'
    )


def _caption_files(folder: Path) -> list[Path]:
    """The files in a folder that are no photos, which may be those with captions."""
    found = []
    for place, folders, names in os.walk(folder, followlinks=True):
        if len(Path(place).relative_to(folder).parts) == DEEPEST_CAPTIONS:
            folders.clear()
        paths = (Path(place, name) for name in names)
        found += [path for path in paths if path.suffix.lower() not in PHOTO_SUFFIXES and os.path.isfile(path)]
    return found


def _most_photos(listings: Iterable[Listing], folders: Sequence[Path]) -> CaptionDataset:
    """Of what may be the data set, the one with most photos in the first of these folders that has any."""
    listings = list(listings)
    complaints = []
    for folder in folders:
        photos, found = Photos(folder), []
        for listing in listings:
            try:
                found.append(_assemble(listing, photos))
            except DatasetError as error:
                complaints.append(error)
        if found:
            return max(found, key=lambda dataset: sum(dataset.sizes.values()))
    raise complaints[0]


class Photos:
    """The photos below a folder, found by their names.

    A name may have a suffix in other case, or none, and stand below any folder: `1.jpg` is found as `images/1.JPG`.

    Args:
        folder: the data set's.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._files: dict[str, list[Path]] = defaultdict(list)
        for place, folders, names in os.walk(folder, followlinks=True):
            depth = len(Path(place).relative_to(folder).parts)
            folders[:] = sorted(name for name in folders if depth < DEEPEST and not name.startswith("."))
            for name in names:
                self._files[name.casefold()].append(Path(place, name))

    def find(self, name: str) -> Path | None:
        """The file of a photo; of several of this name that which lies least deep."""
        parts = PurePath(name).parts
        # A photo outside the folder does not belong to the data set, even if it is listed; nor does one whose name
        # cannot be shown.
        if not parts or PurePath(name).is_absolute() or ".." in parts or not name.isprintable():
            return None
        exact = self.folder / name
        # Not `Path.is_file`, which raises where a name is too long to be one.
        if os.path.isfile(exact):
            return exact
        known = PurePath(name).suffix.lower() in PHOTO_SUFFIXES
        names = [name] if known else [f"{name}{suffix}" for suffix in sorted(PHOTO_SUFFIXES)]
        return next((file for each in names for file in self._candidates(each)), None)

    def with_other_suffix(self, name: str) -> Path | None:
        """A photo of this name with whichever suffix."""
        return self.find(str(PurePath(name).parent / PurePath(name).stem))

    def _candidates(self, name: str) -> Iterator[Path]:
        parts = PurePath(name.casefold()).parts
        for file in self._files.get(parts[-1], ()):
            below = PurePath(str(file.relative_to(self.folder)).casefold()).parts
            if below[-len(parts) :] == parts and file.is_file():
                yield file


def _assemble(listing: Listing, photos: Photos) -> CaptionDataset:
    """Pair names with files, leaving out what has no photo or no caption."""
    name, captions, splits = listing.name, listing.captions, listing.splits
    listed = [photo for names in splits.values() for photo in names]
    twice = next((photo for photo, count in Counter(listed).items() if count > 1), None)
    if twice is not None:
        raise DatasetError(f"{twice!r} is listed twice in the splits of {name}: list every photo once.")
    # A caption of punctuation alone says nothing.
    spoken = {photo: tuple(text for text in texts if tokenize(text)) for photo, texts in captions.items()}
    named = {*listed, *captions}
    files = {photo: file for photo in named if (file := photos.find(photo))}
    usable = {
        split: [Example(files[photo], spoken[photo]) for photo in splits[split] if photo in files and spoken.get(photo)]
        for split in SPLITS
    }
    if not any(usable.values()):
        first = f" (the first is {shown(repr(listed[0]))})" if listed else ""
        if listed and listed[0] not in files and (other := photos.with_other_suffix(listed[0])):
            raise DatasetError(
                f"None of the photos that {name} lists{first} is there, but {shown(other.name)} is: give it that name, "
                "or list it as it is."
            )
        raise DatasetError(
            f"None of the photos that {name} lists{first} is there with a caption: check {photos.folder}."
        )
    return CaptionDataset(
        name,
        usable,
        without_photo=len(named) - len(files),
        without_captions=sum(not spoken.get(photo) for photo in listed),
    )
