"""Buttons that report an event, where a click on one of Streamlit's could be lost."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from streamlit.components.v2 import component

from captioning.visualize.screen import source

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Button:
    """A button.

    Attributes:
        label: what stands on it.
        event: what a click reports; see `events.py`.
        help: its explanation.
        picture: a URL of what stands above the label; nothing for one that is still to come.
    """

    label: str
    event: dict
    help: str = ""
    picture: str | None = None


def show_buttons(key: str, buttons: Sequence[Button], width: Literal["stretch", "content"] | int = "stretch") -> None:
    """Show buttons below each other, or in a grid where they have pictures."""
    mount = component(
        "captioning_buttons",
        html='<div class="buttons"></div>',
        css=(FOLDER / "buttons.css").read_text(encoding="utf-8"),
        js=source("report.js") + (FOLDER / "buttons.js").read_text(encoding="utf-8"),
    )
    mount(key=key, data=[[asdict(button) for button in buttons]], width=width)
