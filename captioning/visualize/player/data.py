"""The player's data as one JSON object: a photo, captions, and each word's attention ready to draw."""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from PIL import Image

from captioning.hiding import HIDDEN_GRAY, Rectangle
from captioning.inference.caption import Caption, Step
from captioning.inference.probing import Occlusion
from captioning.visualize.attention import (
    COLOR_MAPS,
    CONTOUR_SHADE,
    OPACITY,
    attention_map,
    color_table,
    contour_color,
    half_outlines,
    occlusion_map,
)
from captioning.visualize.looks import LOOKS, OCCLUSION
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
    what_if: bool = False,
) -> dict:
    """What the player shows: one photo and one or two captions of it.

    Args:
        title: what the photo is called.
        photo: RGB.
        panes: the captions, side by side; words of a second that the first has not are marked.
        look: how words are drawn at first, one of LOOKS.
        what_if: let other words be chosen and parts of the photo be hidden, and what mattered be asked for.

    Returns:
        What `json.dumps` can write; pictures and maps are base64 text. Its `id` is the same for the same content.
    """
    small = fit(squeezed(photo), DISPLAY_SIZE)
    looks = {
        key: name for key, name in LOOKS.items()
        if key != OCCLUSION or what_if or all(pane.occlusion for pane in panes)
    }  # fmt: skip
    data = {
        "title": title,
        "photo": {"url": to_url(small), "width": small.width, "height": small.height},
        "grid": dict(zip(("rows", "columns"), panes[0].caption.steps[0].attention.shape, strict=True)),
        "captions": [_pane_data(pane, panes[0]) for pane in panes],
        "looks": [list(each) for each in looks.items()],
        "look": look if look in looks else next(iter(looks)),
        "gray": HIDDEN_GRAY,
        "color_maps": {
            name: {"table": _base64(color_table(name).tobytes()), "line": contour_color(name)} for name in COLOR_MAPS
        },
        "opacity": OPACITY,
        "contour_shade": CONTOUR_SHADE,
        "what_if": what_if,
    }
    return {"id": hashlib.sha256(json.dumps(data).encode()).hexdigest()[:16], **data}


def _pane_data(pane: CaptionPane, first: CaptionPane) -> dict:
    changed, drawn = _changed_words(first.caption, pane.caption), _occlusion_maps(pane)
    return {
        "text": pane.caption.text,
        "heading": pane.heading,
        "note": pane.note,
        "hidden": [list(rectangle) for rectangle in pane.hidden],
        "agreement": pane.occlusion and round(pane.occlusion.agreement, 2),
        "sureness": _sureness_data(pane.caption),
        "steps": [
            {
                **_step_data(step),
                "forced": index == pane.forced - 1,
                "changed": index in changed,
                "occlusion": drawn[index],
            }
            for index, step in enumerate(pane.caption.steps)
        ],
    }


def _changed_words(before: Caption, after: Caption) -> set[int]:
    """Which steps of a caption say what another does not say there."""
    said = ([step.word for step in caption.steps] for caption in (before, after))
    differences = SequenceMatcher(None, *said, autojunk=False).get_opcodes()
    return {step for kind, _, _, start, stop in differences if kind != "equal" for step in range(start, stop)}


def _occlusion_maps(pane: CaptionPane) -> list[str | None]:
    """For each step what mattered, ready to draw, all on one scale."""
    if pane.occlusion is None:
        return [None] * len(pane.caption.steps)
    drops = pane.occlusion.drops
    return [_base64(occlusion_map(each, drops.max()).tobytes()) for each in drops]


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


def _step_data(step: Step) -> dict:
    enlarged = attention_map(step.attention)
    return {
        "word": step.word,
        "label": spoken(step.word),
        "probability": round(step.probability, 5),
        "end": step.end,
        "alternatives": [[word, spoken(word), round(probability, 5)] for word, probability in step.alternatives],
        "attention": step.attention.round(4).flatten().tolist(),
        "map": _base64(enlarged.tobytes()),
        "outlines": [outline.round(4).flatten().tolist() for outline in half_outlines(step.attention)],
    }


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
