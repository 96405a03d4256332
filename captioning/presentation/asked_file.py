"""A file that somebody on the page has asked for."""

import base64
import time
from dataclasses import dataclass
from functools import cached_property

from captioning.visualize.export import FORMATS, Scene, file_name

# The browser has what a run of the page sent, if no other has begun for so long.
SECONDS_TO_ARRIVE = 5


@dataclass
class AskedFile:
    """A file of what was on the page when it was asked for; it is made once, when it is first needed.

    Attributes:
        id: tells it from the same file asked for again.
        scene: what it shows.
        suffix: its format, one of FORMATS.
        handed_over: when it was sent, in seconds of a monotonic clock, if no run of the page has begun since.
    """

    id: str
    scene: Scene
    suffix: str
    handed_over: float | None = None

    def has_arrived(self) -> bool:
        """Whether the browser has it."""
        return self.handed_over is not None and time.monotonic() - self.handed_over > SECONDS_TO_ARRIVE

    @cached_property
    def message(self) -> dict[str, str]:
        """The file as `hand_over.js` reads it."""
        content = base64.b64encode(FORMATS[self.suffix].make(self.scene)).decode()
        name, mime = file_name(self.scene, self.suffix), FORMATS[self.suffix].mime
        return {"id": self.id, "name": name, "mime": mime, "content": content}
