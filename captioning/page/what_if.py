"""What somebody changes to see what the model says then: words that it is made to say, and parts of the photo that are
hidden. A change starts from a caption on the page and keeps what was changed there. Changes are undone in order.
"""

from dataclasses import dataclass, replace

import streamlit as st

from captioning import SearchOptions
from captioning.hiding import Rectangle, hide, read_rectangle
from captioning.page.library import Photo
from captioning.visualize.screen import spoken


@dataclass(frozen=True)
class WhatIf:
    """The words that a caption is made to begin with, and the parts of the photo that are hidden."""

    said: tuple[str, ...] = ()
    hidden: tuple[Rectangle, ...] = ()

    def question(self) -> str:
        """What is asked, in words."""
        words = " ".join(self.said[:-1])
        place = f"after “{words}”" if words else "at the beginning"
        says = f"it said “{spoken(self.said[-1])}” {place}" if self.said else ""
        sees = "it did not see what is gray" if self.hidden else ""
        return f"What if {' and '.join(filter(None, [says, sees]))}?"

    def seen(self, photo: Photo) -> Photo:
        """The photo as the model sees it.

        Raises:
            RectangleError: see `hide`.
        """
        if not self.hidden:
            return photo
        return replace(photo, image=hide(photo.image, self.hidden), key=f"{photo.key} without {self.hidden}")


def read_what_if(said: str, hidden: str) -> WhatIf:
    """What an address asks for.

    Args:
        said: words between spaces.
        hidden: rectangles between spaces; see `read_rectangle`.

    Raises:
        RectangleError: there is no such rectangle.
    """
    return WhatIf(tuple(said.split()[: SearchOptions().max_steps]), tuple(map(read_rectangle, hidden.split())))


def current() -> WhatIf:
    """What is changed now."""
    changes = st.session_state.changes
    return changes[-1] if changes else WhatIf()


def change(to: WhatIf) -> None:
    # A double click asks twice.
    if current() != to:
        st.session_state.changes = [*st.session_state.changes, to]


def follow_change(event: dict) -> None:
    """Change what an event asks for."""
    # The player may still show another photo or model's caption.
    if event["about"] == st.session_state.shown:
        change(WhatIf(tuple(event["said"]), tuple(map(tuple, event["hidden"]))))


def undo(event: dict) -> None:
    """Take the last change back; a double click takes back no more."""
    st.session_state.changes = st.session_state.changes[: event["left"]]


def address_of(asked: WhatIf) -> dict[str, str]:
    """The parameters of an address that `read_what_if` reads."""
    rectangles = (",".join(f"{number:g}" for number in rectangle) for rectangle in asked.hidden)
    parameters = {"say": " ".join(asked.said), "hide": " ".join(rectangles)}
    return {name: value for name, value in parameters.items() if value}
