"""A caption as a slide of 16 : 9: the photo, and every word with its attention, as in the paper's figures."""

import io
import math
from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image, ImageDraw

from captioning.hiding import hide
from captioning.inference.caption import Step
from captioning.visualize.drawing import INK, PAPER, QUIET, drawn, step_font
from captioning.visualize.export import Scene
from captioning.visualize.fonts import Font, font_for, font_for_any, is_right_to_left
from captioning.visualize.looks import OCCLUSION
from captioning.visualize.player.data import CaptionPane
from captioning.visualize.screen import spoken, squeezed

SLIDE = (1920, 1080)
# Around what is on a slide, between its tiles, and of a word below its tile.
SLIDE_MARGIN, SLIDE_GAP, SLIDE_LINE = 40, 24, 48


def to_png(scene: Scene) -> bytes:
    """A slide of 16 : 9 with the photo and every word's attention, as in the paper's figures; two captions share it."""
    slide = Image.new("RGB", SLIDE, PAPER)
    height = SLIDE[1] // len(scene.panes)
    for index, pane in enumerate(scene.panes):
        slide.paste(_film_strip(scene, pane, height), (0, index * height))
    file = io.BytesIO()
    slide.save(file, "PNG", optimize=True)
    return file.getvalue()


def _film_strip(scene: Scene, pane: CaptionPane, height: int) -> Image.Image:
    """A pane's photo and words, and a line that says what they are."""
    steps, photo = pane.caption.steps, hide(squeezed(scene.photo), pane.hidden)
    tilings = _tilings(len(steps) + 1, photo.width / photo.height, height)
    columns, rows, size = max(tilings, key=lambda tiling: tiling.size)
    pitch = size[0] + SLIDE_GAP, size[1] + SLIDE_LINE + SLIDE_GAP
    left = (SLIDE[0] - columns * pitch[0] + SLIDE_GAP) // 2
    top = (height - rows * pitch[1] + SLIDE_GAP - SLIDE_MARGIN) // 2
    strip = Image.new("RGB", (SLIDE[0], height), PAPER)
    draw = ImageDraw.Draw(strip)
    photo = photo.resize(size, Image.Resampling.LANCZOS)
    for place in range(len(steps) + 1):
        row, column = divmod(place, columns)
        column = columns - 1 - column if is_right_to_left(pane.caption.text) else column
        x, y = left + column * pitch[0], top + row * pitch[1]
        strip.paste(drawn(photo, pane, place - 1, scene.look) if place else photo, (x, y))
        if place:
            step = steps[place - 1]
            _write_label(draw, (x, y + size[1] + 4), size[0], step, step_font(pane.caption, step, SLIDE_LINE * 2 // 3))
    _write_footer(draw, (left, height - SLIDE_MARGIN // 2), pane, scene)
    return strip


class _Tiling(NamedTuple):
    """How tiles stand: how many in a row, in how many rows, and the size of each without its label."""

    columns: int
    rows: int
    size: tuple[int, int]


def _tilings(tiles: int, ratio: float, height: int) -> Iterator[_Tiling]:
    """All ways in which tiles of this ratio fill a slide with the last row at least half full."""
    for rows in range(1, tiles + 1):
        columns = math.ceil(tiles / rows)
        if 2 * (tiles - (rows - 1) * columns) >= columns:
            widest = (SLIDE[0] - 2 * SLIDE_MARGIN + SLIDE_GAP) // columns - SLIDE_GAP
            highest = (height - 2 * SLIDE_MARGIN) // rows - SLIDE_LINE - SLIDE_GAP
            width = max(min(widest, round(highest * ratio)), 1)
            yield _Tiling(columns, rows, (width, max(round(width / ratio), 1)))


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


def _shorten(text: str, font: Font, width: float) -> str:
    """The text, cut with an ellipsis where it would not fit."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
