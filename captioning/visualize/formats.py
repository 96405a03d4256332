"""The kinds of file that a caption is exported as. The command line and the page offer these."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from captioning.visualize.export import Scene


@dataclass(frozen=True)
class Format:
    """A kind of file: what it is called on screen, a word of help, its MIME type, and the function that makes it."""

    name: str
    help: str
    mime: str
    function: str

    def make(self, scene: "Scene") -> bytes:
        # Here, so that a command that only explains itself does not wait for what drawing needs.
        from captioning.visualize import export

        return getattr(export, self.function)(scene)


FORMATS = {
    "gif": Format("Animation (GIF)", "One frame a word, for slides and chats.", "image/gif", "to_gif"),
    "png": Format("Film strip (PNG)", "All words with their attention, on a slide of 16 : 9.", "image/png", "to_png"),
    "html": Format("Step-through (HTML)", "One file to mail: opens in any browser, offline.", "text/html", "to_html"),
    "json": Format("Data (JSON)", "The words, probabilities, attention, alternatives.", "application/json", "to_json"),
}
