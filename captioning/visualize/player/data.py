"""The player's data as one JSON object: a photo, captions with each word's attention, and how it is drawn."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from captioning.hiding import HIDDEN_GRAY, Rectangle
from captioning.inference.caption import Caption, Step
from captioning.inference.probing import Occlusion
from captioning.visualize.looks import LOOKS, OCCLUSION
from captioning.visualize.overlay import (
    COLOR_MAPS,
    CONTOUR_SHADE,
    EVERYWHERE,
    FULL_STRENGTH,
    MAP_SIZE,
    OPACITY,
    color_table,
    contour_color,
    occlusion_map,
)
from captioning.visualize.screen import fit, spoken, squeezed, to_url

DISPLAY_SIZE = 1000


@dataclass(frozen=True)
class CaptionPane:
    """A caption as the player shows it.

    Attributes:
        caption: the words and their attention.
        heading, note: what stands above it where two captions are side by side.
        forced: how many of its first words the model was made to say; the last of them is marked.
        hidden: parts of the photo that it did not see.
        occlusion: what mattered for its words, where it was computed.
    """

    caption: Caption
    heading: str = ""
    note: str = ""
    forced: int = 0
    hidden: tuple[Rectangle, ...] = ()
    occlusion: Occlusion | None = None


def player_data(
    title: str,
    photo: Image.Image,
    panes: Sequence[CaptionPane],
    *,
    look: str = next(iter(LOOKS)),
    vocabulary: Sequence[str] = (),
) -> dict:
    """What the player shows: one photo and one or two captions of it.

    Args:
        title: what the photo is called.
        photo: RGB.
        panes: the captions, side by side; words of a second that the first has not are marked.
        look: how words are drawn at first, one of LOOKS.
        vocabulary: words that can be said instead; with them parts of the photo can be hidden too, and what mattered be
            asked for.

    Returns:
        What `json.dumps` can write; the photo is a URL that holds it. Its `id` is the same for the same content.
    """
    small = fit(squeezed(photo), DISPLAY_SIZE)
    looks = {
        key: name for key, name in LOOKS.items()
        if key != OCCLUSION or vocabulary or all(pane.occlusion for pane in panes)
    }  # fmt: skip
    data = {
        "title": title,
        "photo": {"url": to_url(small), "width": small.width, "height": small.height},
        "grid": dict(zip(("rows", "columns"), panes[0].caption.steps[0].attention.shape, strict=True)),
        "captions": [_pane_data(pane) for pane in panes],
        "look": look if look in looks else next(iter(looks)),
        "what_if": bool(vocabulary),
        "vocabulary": list(vocabulary),
        **drawing(looks),
    }
    return {"id": hashlib.sha256(json.dumps(data).encode()).hexdigest()[:16], **data}


def drawing(looks: Mapping[str, str]) -> dict:
    """What of the player's data is the same for all captions: how attention is drawn, in these looks."""
    return {
        "looks": [list(look) for look in looks.items()],
        "gray": HIDDEN_GRAY,
        "color_maps": {
            name: {"table": base64.b64encode(color_table(name).tobytes()).decode(), "line": contour_color(name)}
            for name in COLOR_MAPS
        },
        "opacity": OPACITY,
        "contour_shade": CONTOUR_SHADE,
        "map_size": MAP_SIZE,
        "full_strength": FULL_STRENGTH,
        "everywhere": EVERYWHERE,
    }


def _pane_data(pane: CaptionPane) -> dict:
    drawn = _occlusion_maps(pane)
    return {
        "text": pane.caption.text,
        "heading": pane.heading,
        "note": pane.note,
        "hidden": [list(rectangle) for rectangle in pane.hidden],
        "agreement": pane.occlusion and round(pane.occlusion.agreement, 2),
        "sureness": pane.caption.sureness,
        "steps": [
            {**_step_data(step), "forced": index == pane.forced - 1, "occlusion": drawn[index]}
            for index, step in enumerate(pane.caption.steps)
        ],
    }


def _occlusion_maps(pane: CaptionPane) -> list[str | None]:
    """For each step what mattered, ready to draw, all on one scale."""
    if pane.occlusion is None:
        return [None] * len(pane.caption.steps)
    drops = pane.occlusion.drops
    return [base64.b64encode(occlusion_map(each, drops.max()).tobytes()).decode() for each in drops]


def _step_data(step: Step) -> dict:
    return {
        "word": step.word,
        "label": spoken(step.word),
        "probability": round(step.probability, 5),
        "end": step.end,
        "alternatives": [[word, spoken(word), round(probability, 5)] for word, probability in step.alternatives],
        "attention": [round(weight, 5) for weight in step.attention.flatten().tolist()],
    }
