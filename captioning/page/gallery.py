"""Photos to begin with: those that come with the app, and those of a folder."""

import csv
from functools import cache
from pathlib import Path
from typing import NamedTuple

from captioning.errors import DatasetError
from captioning.images import PHOTO_SUFFIXES

_PHOTOS = Path(__file__).parent / "photos"


class Credit(NamedTuple):
    """Who made a photo and under which licence, and the licence's address."""

    text: str
    licence_url: str


def sample_photos() -> dict[str, Path]:
    """Titles and files of the photos that come with the app."""
    return {row["title"]: _PHOTOS / row["file"] for row in _credits()}


def sample_credit(path: Path) -> Credit | None:
    """The credit of a photo that comes with the app; none for any other."""
    for row in _credits():
        if path == _PHOTOS / row["file"]:
            return Credit(f"Photo: {row['author']}, {row['licence']}, via {row['via']}", row["licence_url"])
    return None


@cache
def _credits() -> list[dict[str, str]]:
    """The rows of the photos' credits, in the order of the gallery."""
    with (_PHOTOS / "credits.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def folder_photos(folder: Path) -> dict[str, Path]:
    """Names and files of a folder's photos, by name; hidden files and names that cannot be shown are left out.

    Raises:
        DatasetError: there is no such folder, it cannot be read, or no photo is in it.
    """
    try:
        if not folder.is_dir():
            raise DatasetError(f"There is no folder {folder}: check the path given with --photos.")
        photos = {path.name: path for path in sorted(folder.iterdir()) if _is_photo(path)}
    except OSError as error:
        # Its permissions, or a stick that was pulled out.
        raise DatasetError(f"{folder} cannot be read ({error.strerror}): check the path given with --photos.") from None
    if not photos:
        raise DatasetError(f"{folder} holds no photo: name a folder with JPEG, PNG or WebP files.")
    return photos


def _is_photo(path: Path) -> bool:
    named = path.name.isprintable() and not path.name.startswith(".")
    # A named pipe would be waited for without end.
    return named and path.suffix.lower() in PHOTO_SUFFIXES and path.is_file()
