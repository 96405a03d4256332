"""A note of the settings that something long was begun with, beside what it makes, so that it goes on with the same."""

import json
from pathlib import Path

from captioning.files import write_whole


def write_note(path: Path, settings: dict) -> None:
    """Note the settings.

    Raises:
        CaptioningError: the note cannot be written.
    """
    write_whole(path, json.dumps(settings, indent=2).encode())


def read_note(path: Path) -> dict:
    """The settings that were noted.

    Raises:
        OSError: there is no note.
        ValueError: it is damaged.
    """
    try:
        return dict(json.loads(path.read_bytes()))
    except TypeError as error:
        raise ValueError(str(error)) from None


def changed(noted: dict, settings: dict) -> list[str]:
    """The names of the settings that were noted with another value."""
    return [name for name, value in settings.items() if name in noted and noted[name] != value]
