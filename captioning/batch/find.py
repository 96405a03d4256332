"""The photos below a folder, by name."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from captioning.errors import CaptioningError, shown
from captioning.files import is_no_file
from captioning.images import PHOTO_SUFFIXES

# Line breaks and other control characters, and bytes of a name that are not UTF-8: a row is one line of text.
_UNWRITABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class Failure:
    """A photo that got no caption.

    Attributes:
        photo: path relative to the folder.
        reason: one sentence.
    """

    photo: str
    reason: str


def find_photos(folder: Path) -> tuple[list[str], list[Failure]]:
    """Photos of a folder and all folders below it: paths relative to it, with `/`, in the order of their characters.

    Photos are known by their suffix. Hidden files and folders are left out. A link to a photo is a photo; a link to a
    folder is not followed. Only names are kept, about a hundred bytes each.

    Returns:
        The photos, and what cannot be one: folders that cannot be listed, and names that no row can hold.

    Raises:
        CaptioningError: there is no such folder, or no photo in it.
    """
    if not os.path.isdir(folder):
        raise CaptioningError(f"There is no folder {folder}: check the name.")
    photos, failures = [], []

    def refuse(error: OSError) -> None:
        name = os.path.relpath(error.filename, folder)
        failures.append(Failure(name, f"{shown(name)} cannot be listed ({error.strerror}): check its permissions."))

    for place, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for file in files:
            path = os.path.join(place, file)
            if file.startswith(".") or os.path.splitext(file)[1].lower() not in PHOTO_SUFFIXES or is_no_file(path):
                continue
            name = Path(os.path.relpath(path, folder)).as_posix()
            if _UNWRITABLE.search(name):
                reason = f"{shown(name)} has a line break or another unreadable character in its name: rename it."
                failures.append(Failure(name, reason))
            else:
                photos.append(name)
    if not photos and not failures:
        raise CaptioningError(f"{folder} holds no photo: name a folder with JPEG, PNG or WebP files.")
    return sorted(photos), failures
