"""The player's data as one JSON object: a photo, captions, and each word's attention ready to draw."""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from captioning.inference.caption import Caption, Step
from captioning.visualize.attention import (
    COLOR_MAPS,
    CONTOUR_SHADE,
    LOOKS,
    OPACITY,
    attention_map,
    color_table,
    contour_color,
    half_outlines,
)
from captioning.visualize.screen import fit, spoken, squeezed, to_url

DISPLAY_SIZE = 1000
# How sure the model is, in words, below these percentiles of the photos that it was tested on.
SURENESS = {10: "Unusually unsure", 50: "Rather unsure", 101: "Rather sure"}


@dataclass(frozen=True)
class CaptionPane:
    """A caption as the player shows it.

    Attributes:
        caption: the words and their attention.
        heading, note: what stands above it where two captions are side by side.
        forced: how many of its first words the model was made to say; the last of them is marked.
    """

    caption: Caption
    heading: str = ""
    note: str = ""
    forced: int = 0


def player_data(
    title: str,
    photo: Image.Image,
    panes: Sequence[CaptionPane],
    *,
    look: str = next(iter(LOOKS)),
    what_if: bool = False,
) -> dict:
    """What the player shows: one photo and one or two captions of it.

    Args:
        title: what the photo is called.
        photo: RGB.
        panes: the captions, side by side.
        look: how attention is drawn at first, one of LOOKS.
        what_if: offer the alternatives of each word to be chosen.

    Returns:
        What `json.dumps` can write; pictures and maps are base64 text. Its `id` is the same for the same content.
    """
    small = fit(squeezed(photo), DISPLAY_SIZE)
    data = {
        "title": title,
        "photo": {"url": to_url(small), "width": small.width, "height": small.height},
        "grid": dict(zip(("rows", "columns"), panes[0].caption.steps[0].attention.shape, strict=True)),
        "captions": [_pane_data(pane) for pane in panes],
        "looks": [list(look) for look in LOOKS.items()],
        "look": look,
        "color_maps": {
            name: {"table": _base64(color_table(name).tobytes()), "line": contour_color(name)} for name in COLOR_MAPS
        },
        "opacity": OPACITY,
        "contour_shade": CONTOUR_SHADE,
        "what_if": what_if,
    }
    return {"id": hashlib.sha256(json.dumps(data).encode()).hexdigest()[:16], **data}


def _pane_data(pane: CaptionPane) -> dict:
    return {
        "text": pane.caption.text,
        "heading": pane.heading,
        "note": pane.note,
        "sureness": _sureness_data(pane.caption),
        "steps": [_step_data(step, index == pane.forced - 1) for index, step in enumerate(pane.caption.steps)],
    }


def _sureness_data(caption: Caption) -> dict | None:
    """How sure the model is, and the step of its least likely word."""
    if caption.sureness is None:
        return None
    unsure = caption.sureness < 50
    share = 100 - caption.sureness if unsure else caption.sureness
    said = [step.probability for step in caption.steps if not step.end]
    return {
        "label": next(label for most, label in SURENESS.items() if caption.sureness < most),
        "text": f"{'less sure' if unsure else 'surer'} than on {share:.0f}% of the photos that it was tested on",
        "weakest": said.index(min(said)),
    }


def _step_data(step: Step, forced: bool) -> dict:
    enlarged = attention_map(step.attention)
    return {
        "word": step.word,
        "label": spoken(step.word),
        "probability": round(step.probability, 5),
        "end": step.end,
        "forced": forced,
        "alternatives": [[word, spoken(word), round(probability, 5)] for word, probability in step.alternatives],
        "attention": step.attention.round(4).flatten().tolist(),
        "map": _base64(enlarged.tobytes()),
        "outlines": [outline.round(4).flatten().tolist() for outline in half_outlines(step.attention)],
    }


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
