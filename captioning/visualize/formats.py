"""The kinds of file that a caption is exported as. The command line and the page offer these."""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from captioning.visualize.export import Scene


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        name, help: what it is called on screen, and a word of help.
        mime: its MIME type.
        place: the function that makes it, and the module beside this one that has it.
        on_page: whether the page offers it.
    """

    name: str
    help: str
    mime: str
    place: str
    on_page: bool = True

    def make(self, scene: "Scene") -> bytes:
        """The file.

        Raises:
            CaptioningError: it cannot be made.
        """
        # Here, so that a command that only explains itself does not wait for what drawing needs.
        module, function = self.place.split(".")
        return getattr(import_module(f"captioning.visualize.{module}"), function)(scene)


FORMATS = {
    "gif": Format("Animation (GIF)", "One frame a word, for slides and chats.", "image/gif", "animation.to_gif"),
    # Not on the page: with twelve people at an app of two cores, 5 of 35 downloads then took over 90 seconds.
    "mp4": Format("Video (MP4)", "The same, larger and sharper.", "video/mp4", "animation.to_mp4", on_page=False),
    "png": Format(
        "Film strip (PNG)", "All words with their attention, on a slide of 16 : 9.", "image/png", "film_strip.to_png"
    ),
    "html": Format(
        "Step-through (HTML)", "One file to mail: opens in any browser, offline.", "text/html", "export.to_html"
    ),
    "json": Format(
        "Data (JSON)", "The words, probabilities, attention, alternatives.", "application/json", "export.to_json"
    ),
}
ON_PAGE = {suffix: kind for suffix, kind in FORMATS.items() if kind.on_page}
