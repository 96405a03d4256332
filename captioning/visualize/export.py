"""A caption as a file: JSON, and a page that needs only a browser. `animation.py` and `film_strip.py` draw pictures."""

import html
import json
import re
import string
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from captioning.inference.caption import Caption
from captioning.visualize.looks import LOOKS, OCCLUSION
from captioning.visualize.player import script, style
from captioning.visualize.player.data import CaptionPane, player_data
from captioning.visualize.screen import source

# The page's colours, light and dark; they are those of the app's theme.
LIGHT = {"primary": "#6d28d9", "background": "#ffffff", "text": "#1f1b2e", "border": "#d9d4e6"}
DARK = {"primary": "#7957e8", "background": "#100d19", "text": "#f1eefa", "border": "#3f3859"}


@dataclass(frozen=True)
class Scene:
    """What is exported.

    Attributes:
        title: what the photo is called; in JSON its name as it was given.
        photo: RGB.
        panes: its caption, and beside it the one that follows where somebody has changed something.
        look: one of LOOKS; what mattered is drawn where it was computed, else the attention.
        credit: a line on what made it.
    """

    title: str
    photo: Image.Image
    panes: tuple[CaptionPane, ...]
    look: str = next(iter(LOOKS))
    credit: str = ""

    @property
    def caption(self) -> Caption:
        return self.panes[0].caption


def to_json(scene: Scene) -> bytes:
    """The same object as `python -m captioning caption --json`, and under `what_if` the caption beside it."""
    first, *others = (_pane_as_dict(pane) for pane in scene.panes)
    what_if = {"what_if": others[0]} if others else {}
    return (json.dumps({"photo": scene.title, **first, **what_if}) + "\n").encode()


def _pane_as_dict(pane: CaptionPane) -> dict:
    """The caption, with the parts of the photo that were hidden and what mattered, where there is that."""
    fields = pane.caption.as_dict()
    if pane.hidden:
        fields["hidden"] = pane.hidden
    if pane.occlusion:
        drops = pane.occlusion.drops.tolist()
        fields["words"] = [{**word, OCCLUSION: each} for word, each in zip(fields["words"], drops, strict=True)]
        fields["agreement"] = pane.occlusion.agreement
    return fields


def to_html(scene: Scene) -> bytes:
    """One file with the step-through in it; it opens in any browser, without a network."""
    data = player_data(Path(scene.title).name, scene.photo, scene.panes, look=scene.look)
    page = string.Template(source("player/page.html")).substitute(
        title=html.escape(data["title"]),
        footer=html.escape(scene.credit),
        css=page_style() + style(),
        html=source("player/player.html"),
        js=script(),
        data=script_safe(data),
    )
    return page.encode()


def page_style() -> str:
    """The style of a page that stands on its own, light or dark as its reader has it."""
    light, dark = (
        "".join(f"--st-{name}-color: {value}; " for name, value in colors.items()) for colors in (LIGHT, DARK)
    )
    return string.Template(source("player/page.css")).substitute(light=light, dark=dark)


def script_safe(value: dict) -> str:
    """JSON that can stand in a script element: nothing in it can end the element or begin a comment."""
    return json.dumps(value).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def file_name(scene: Scene, suffix: str) -> str:
    """What a downloaded file is called, whatever the photo is called."""
    stem = re.sub(r"[^\w-]+", "-", Path(scene.title).stem).strip("-")[:60]
    return f"{stem or 'photo'}-caption.{suffix}"
