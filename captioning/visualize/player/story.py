"""What the player shows, as one JSON description: a photo, captions, and each word's attention ready to draw."""

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
from captioning.visualize.pictures import fit, squeezed, to_url
from captioning.visualize.text import spoken

DISPLAY_SIZE = 1000


@dataclass(frozen=True)
class Told:
    """A caption as the player tells it.

    Attributes:
        caption: what was said.
        heading, note: what stands above it where two captions are side by side.
        forced: how many of its first words the model was made to say; the last of them is marked.
    """

    caption: Caption
    heading: str = ""
    note: str = ""
    forced: int = 0


def tell(
    title: str, photo: Image.Image, captions: Sequence[Told], *, look: str = next(iter(LOOKS)), what_if: bool = False
) -> dict:
    """The description of one photo and one or two captions of it.

    Args:
        title: what the photo is called.
        photo: RGB.
        captions: side by side.
        look: how attention is drawn at first, one of LOOKS.
        what_if: offer the alternatives of each word to be chosen.

    Returns:
        What `json.dumps` can write; pictures and maps are base64 text. Its `id` is the same for the same content.
    """
    small = fit(squeezed(photo), DISPLAY_SIZE)
    story = {
        "title": title,
        "photo": {"url": to_url(small), "width": small.width, "height": small.height},
        "captions": [_tell_caption(told) for told in captions],
        "looks": [list(look) for look in LOOKS.items()],
        "look": look,
        "color_maps": {
            name: {"table": _base64(color_table(name).tobytes()), "line": contour_color(name)} for name in COLOR_MAPS
        },
        "opacity": OPACITY,
        "contour_shade": CONTOUR_SHADE,
        "what_if": what_if,
    }
    return {"id": hashlib.sha256(json.dumps(story).encode()).hexdigest()[:16], **story}


def _tell_caption(told: Told) -> dict:
    return {
        "text": told.caption.text,
        "heading": told.heading,
        "note": told.note,
        "steps": [_tell_step(step, index == told.forced - 1) for index, step in enumerate(told.caption.steps)],
    }


def _tell_step(step: Step, forced: bool) -> dict:
    enlarged = attention_map(step.attention)
    return {
        "word": step.word,
        "label": spoken(step.word),
        "probability": round(step.probability, 5),
        "end": step.end,
        "forced": forced,
        "alternatives": [[word, spoken(word), round(probability, 5)] for word, probability in step.alternatives],
        "map": _base64(enlarged.tobytes()),
        "outlines": [outline.round(4).flatten().tolist() for outline in half_outlines(step.attention)],
    }


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
