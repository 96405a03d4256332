"""A caption as a file: animated GIF, film strip (PNG), JSON, and a page that needs only a browser."""

import html
import io
import json
import math
import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from captioning.hiding import hide
from captioning.inference.caption import Caption, Step
from captioning.visualize.fonts import Font, font_for, font_for_any, is_right_to_left
from captioning.visualize.looks import LOOKS, OCCLUSION
from captioning.visualize.overlay import attention_overlay, occlusion_overlay
from captioning.visualize.player import script
from captioning.visualize.player.data import CaptionPane, player_data
from captioning.visualize.screen import source, spoken, squeezed

INK, QUIET, PAPER, ACCENT = "#1f1b2e", "#5b566b", "#ffffff", "#6d28d9"
# The page's colours, light and dark; they are those of the app's theme.
LIGHT = {"primary": "#6d28d9", "background": "#ffffff", "text": "#1f1b2e", "border": "#d9d4e6"}
DARK = {"primary": "#7957e8", "background": "#100d19", "text": "#f1eefa", "border": "#3f3859"}

GIF_SIZE = 600
GIF_MILLISECONDS = 1300
SLIDE = (1920, 1080)
# Around what is on a slide, between its tiles, and of a word below its tile.
SLIDE_MARGIN, SLIDE_GAP, SLIDE_LINE = 40, 24, 48


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


def to_gif(scene: Scene) -> bytes:
    """One frame a word: the photo with the word's attention, and under it the caption with the word marked."""
    photo = _scaled(squeezed(scene.photo), GIF_SIZE)
    count = max(len(pane.caption.steps) for pane in scene.panes)
    frames = [_beside([_frame(photo, pane, index, scene.look) for pane in scene.panes]) for index in range(count)]
    # One palette for all frames, so that nothing but the attention changes; each frame whole, so that none is merged.
    palette = _palette(frames)
    frames = [frame.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for frame in frames]
    times = [GIF_MILLISECONDS] * len(frames)
    times[-1] *= 2
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=times, loop=0, disposal=1)
    return file.getvalue()


def to_png(scene: Scene) -> bytes:
    """A slide of 16 : 9 with the photo and every word's attention, as in the paper's figures; two captions share it."""
    slide = Image.new("RGB", SLIDE, PAPER)
    height = SLIDE[1] // len(scene.panes)
    for index, pane in enumerate(scene.panes):
        slide.paste(_film_strip(scene, pane, height), (0, index * height))
    file = io.BytesIO()
    slide.save(file, "PNG", optimize=True)
    return file.getvalue()


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
        css=page_style() + source("player/player.css"),
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


def _frame(photo: Image.Image, pane: CaptionPane, index: int, look: str) -> Image.Image:
    """A pane at a step, or at its last if it has fewer."""
    steps = pane.caption.steps
    at = min(index, len(steps) - 1)
    picture = _drawn(hide(photo, pane.hidden), pane, at, look)
    return _with_sentence(picture, pane.caption, at)


def _drawn(photo: Image.Image, pane: CaptionPane, index: int, look: str) -> Image.Image:
    """The photo with a step of a pane over it."""
    if look == OCCLUSION and pane.occlusion:
        drops = pane.occlusion.drops
        return occlusion_overlay(photo, drops[index], drops.max())
    return attention_overlay(photo, pane.caption.steps[index].attention, look=look)


def _beside(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures from left to right, on paper where one is lower than the others."""
    width, height = sum(picture.width for picture in pictures), max(picture.height for picture in pictures)
    joined = Image.new("RGB", (width, height), PAPER)
    for index, picture in enumerate(pictures):
        joined.paste(picture, (index * picture.width, 0))
    return joined


def _film_strip(scene: Scene, pane: CaptionPane, height: int) -> Image.Image:
    """A pane's photo and words, and a line that says what they are."""
    steps, photo = pane.caption.steps, hide(squeezed(scene.photo), pane.hidden)
    tiles = len(steps) + 1
    columns, size = _tiling(tiles, photo.width / photo.height, height)
    pitch = size[0] + SLIDE_GAP, size[1] + SLIDE_LINE + SLIDE_GAP
    rows = math.ceil(tiles / columns)
    left = (SLIDE[0] - columns * pitch[0] + SLIDE_GAP) // 2
    top = (height - rows * pitch[1] + SLIDE_GAP - SLIDE_MARGIN) // 2
    strip = Image.new("RGB", (SLIDE[0], height), PAPER)
    draw = ImageDraw.Draw(strip)
    photo = photo.resize(size, Image.Resampling.LANCZOS)
    for place in range(tiles):
        row, column = divmod(place, columns)
        column = columns - 1 - column if is_right_to_left(pane.caption.text) else column
        x, y = left + column * pitch[0], top + row * pitch[1]
        strip.paste(_drawn(photo, pane, place - 1, scene.look) if place else photo, (x, y))
        if place:
            step = steps[place - 1]
            _write_label(draw, (x, y + size[1] + 4), size[0], step, _step_font(pane.caption, step, SLIDE_LINE * 2 // 3))
    _write_footer(draw, (left, height - SLIDE_MARGIN // 2), pane, scene)
    return strip


def _with_sentence(picture: Image.Image, caption: Caption, current: int) -> Image.Image:
    """The picture with the words under it, the current one marked."""
    words = [(spoken(step.word), _step_font(caption, step, 26)) for step in caption.steps]
    space, line, margin = 14, 44, 20
    places, x, y = [], margin, picture.height + 16
    for word, font in words:
        width = round(font.getlength(word))
        if x > margin and x + width > picture.width - margin:
            x, y = margin, y + line
        left = picture.width - x - width if is_right_to_left(caption.text) else x
        places.append((left, y, width))
        x += width + space
    frame = Image.new("RGB", (picture.width, y + line + 8), PAPER)
    frame.paste(picture)
    draw = ImageDraw.Draw(frame)
    for index, ((word, font), (left, top, width)) in enumerate(zip(words, places, strict=True)):
        if index == current:
            draw.rounded_rectangle((left - 6, top - 3, left + width + 6, top + 34), 8, ACCENT)
        draw.text((left, top), word, PAPER if index == current else INK, font)
    return frame


def _palette(frames: Sequence[Image.Image]) -> Image.Image:
    """256 colours for all frames together."""
    sample = Image.new("RGB", (frames[0].width, frames[0].height * min(len(frames), 4)))
    for place, index in enumerate(range(0, len(frames), math.ceil(len(frames) / 4))):
        sample.paste(frames[index], (0, place * frames[0].height))
    return sample.quantize(256, method=Image.Quantize.MEDIANCUT)


def _tiling(tiles: int, ratio: float, height: int) -> tuple[int, tuple[int, int]]:
    """How many tiles of this ratio stand in a row, and their size: the largest with which the last row is half full."""

    def size(rows: int) -> tuple[int, int]:
        columns = math.ceil(tiles / rows)
        widest = (SLIDE[0] - 2 * SLIDE_MARGIN + SLIDE_GAP) // columns - SLIDE_GAP
        highest = (height - 2 * SLIDE_MARGIN) // rows - SLIDE_LINE - SLIDE_GAP
        width = max(min(widest, round(highest * ratio)), 1)
        return width, max(round(width / ratio), 1)

    def is_full(rows: int) -> bool:
        columns = math.ceil(tiles / rows)
        return 2 * (tiles - (rows - 1) * columns) >= columns

    best = max(filter(is_full, range(1, tiles + 1)), key=size)
    return math.ceil(tiles / best), size(best)


def _write_label(draw: ImageDraw.ImageDraw, place: tuple[int, int], width: int, step: Step, font: Font) -> None:
    share = f"{step.probability:.0%}"
    small = font_for(share, 22)
    room = width - small.getlength(share) - 12
    draw.text(place, _shorten(spoken(step.word), font, room), INK, font)
    x = place[0] + width - small.getlength(share)
    draw.text((x, place[1] + font.size - 18), share, QUIET, small)


def _write_footer(draw: ImageDraw.ImageDraw, place: tuple[int, int], pane: CaptionPane, scene: Scene) -> None:
    """What the caption is, on a base line: parts of their own, for one font need not have the letters of all."""
    caption, x = pane.caption, float(place[0])
    facts = [f"log-probability {caption.log_probability:.2f}", scene.credit]
    if scene.look == OCCLUSION and pane.occlusion:
        facts.insert(1, f"agreement of what mattered with the attention {pane.occlusion.agreement:.2f}")
    about = "".join(f"   ·   {fact}" for fact in facts)
    for part in (f"{pane.heading}: " if pane.heading else "", caption.text, about):
        font = font_for_any(part, 22)
        written = _shorten(part, font, SLIDE[0] - SLIDE_MARGIN - x)
        draw.text((x, place[1]), written, QUIET, font, anchor="ls")
        x += font.getlength(written)


def _step_font(caption: Caption, step: Step, size: int) -> Font:
    """The same for all words of a caption; what stands for its end is English."""
    return font_for(spoken(step.word) if step.end else caption.text, size)


def _shorten(text: str, font: Font, width: float) -> str:
    """The text, cut with an ellipsis where it would not fit."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


def _scaled(photo: Image.Image, longest: int) -> Image.Image:
    """The photo with its longer side at this length, enlarged if it is smaller."""
    factor = longest / max(photo.size)
    size = (max(160, round(photo.width * factor)), max(40, round(photo.height * factor)))
    return photo.resize(size, Image.Resampling.LANCZOS)
