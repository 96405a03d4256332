"""Downloads: files with the caption in them, made when somebody asks for them.

`st.download_button` forgets what makes its file when the page runs again, and a click meanwhile gets nothing. Here a
click is an event, and the file that was asked for is kept, and sent until the browser has saved it.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import streamlit as st

from captioning.errors import CaptioningError
from captioning.files import FileFingerprint
from captioning.page.buttons import Button, show_buttons
from captioning.page.events import run_script
from captioning.page.library import Photo
from captioning.visualize.export import Scene, file_name
from captioning.visualize.formats import FORMATS, ON_PAGE
from captioning.visualize.player.data import CaptionPane


@dataclass
class Download:
    """A file of what was on the page when it was asked for; it is made once, when it is first needed.

    Attributes:
        id: the number of the event that asked for it.
        scene: what it shows.
        suffix: its format, one of FORMATS.
    """

    id: int
    scene: Scene
    suffix: str

    @cached_property
    def message(self) -> dict:
        """The file as `downloads.js` reads it."""
        content = base64.b64encode(FORMATS[self.suffix].make(self.scene)).decode()
        name, mime = file_name(self.scene, self.suffix), FORMATS[self.suffix].mime
        return {"id": self.id, "name": name, "mime": mime, "content": content}


def show_downloads(checkpoint: FileFingerprint, photo: Photo, panes: Sequence[CaptionPane]) -> None:
    """A button for each format."""
    state = st.session_state
    credit = f"{checkpoint.path.stem}, beam width {state.beam_size}. Made with Show, Attend and Tell. {photo.credit}"
    state.scene = Scene(photo.title, photo.image, tuple(panes), state.look, credit.strip())
    with st.popover("Download", icon=":material/download:", key="download"):
        show_buttons("formats", [
            Button(kind.name, {"name": "download", "suffix": suffix}, kind.help)
            for suffix, kind in ON_PAGE.items()
        ])  # fmt: skip


def request(event: dict) -> None:
    """Ask for a file of what is on the page, with the look that was chosen last."""
    state = st.session_state
    file = Download(event["number"], replace(state.scene, look=state.look), event["suffix"])
    state.requested = [*state.get("requested", []), file]


def forget(event: dict) -> None:
    """Forget a file that the browser has saved."""
    state = st.session_state
    state.requested = [file for file in state.get("requested", []) if file.id != event["id"]]


def send_downloads() -> None:
    """Send the browser the files that were asked for; not within the popover, which may have been closed since.

    Raises:
        CaptioningError: one cannot be made.
    """
    requested = st.session_state.get("requested")
    if not requested:
        return
    try:
        messages = [file.message for file in requested]
    except CaptioningError:
        # Asked for again, it would be refused again.
        st.session_state.requested = []
        raise
    run_script("downloads", messages)
