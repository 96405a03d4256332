"""Photos to begin with: the photographs in the scikit-image package, and those of a folder."""

from importlib.util import find_spec
from pathlib import Path

from captioning.errors import DatasetError
from captioning.images import PHOTO_SUFFIXES

# Files in scikit-image's wheel, and what they are called on screen.
_SAMPLES = {
    "astronaut.png": "Astronaut",
    "motorcycle_left.png": "Motorbike",
    "camera.png": "Camera",
    "chelsea.png": "Cat",
    "coffee.png": "Coffee",
    "rocket.jpg": "Rocket",
}


def sample_photos() -> dict[str, Path]:
    """Titles and files of the samples; those that an installation lacks are left out."""
    package = find_spec("skimage")
    if package is None:
        return {}
    folder = Path(package.submodule_search_locations[0]) / "data"
    return {title: folder / name for name, title in _SAMPLES.items() if (folder / name).is_file()}


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
