"""A file that somebody on the page has asked for."""

import base64
from dataclasses import dataclass
from functools import cached_property

from captioning.visualize.export import FORMATS, Scene, file_name


@dataclass(frozen=True)
class AskedFile:
    """A file of what was on the page when it was asked for; it is made once, when it is first needed.

    Attributes:
        id: tells it from the same file asked for again.
        scene: what it shows.
        suffix: its format, one of FORMATS.
    """

    id: str
    scene: Scene
    suffix: str

    @cached_property
    def message(self) -> dict[str, str]:
        """The file as `hand_over.js` reads it."""
        content = base64.b64encode(FORMATS[self.suffix].make(self.scene)).decode()
        name, mime = file_name(self.scene, self.suffix), FORMATS[self.suffix].mime
        return {"id": self.id, "name": name, "mime": mime, "content": content}
