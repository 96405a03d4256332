"""The HTML, CSS and JavaScript of what is drawn in the browser."""

from pathlib import Path

_FOLDER = Path(__file__).parent


def source(name: str) -> str:
    """A file beside this one, as text; for instance `player/player.js`."""
    return (_FOLDER / name).read_text(encoding="utf-8")
