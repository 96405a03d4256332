"""A word's attention drawn over the photo, or what mattered for the word; see `looks.py`."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import contourpy
import numpy as np
from PIL import Image, ImageDraw

# Matplotlib's, kept in a file: its import takes a quarter of a second. All are perceptually even, and colour-blind
# viewers can distinguish their colours; the first is the default.
COLOR_MAPS = ("inferno", "viridis", "cividis", "gray")
OPACITY = 0.6
# A cell is drawn at full strength only if its weight is this many times that of attention spread evenly.
FULL_STRENGTH = 6
# Where no cell's weight reaches this many times that of attention spread evenly, the model looked everywhere.
EVERYWHERE = 2
# Drops below this, in nats, are nothing to see: where all of a caption's are, none is drawn at full strength.
SMALLEST_DROP = 0.05
# How finely attention is drawn before the screen or the file enlarges it.
MAP_SIZE = 64
# How much darker the photo is outside the contour, of what the opacity is.
CONTOUR_SHADE = 0.6


def attention_overlay(
    photo: Image.Image,
    attention: np.ndarray,
    *,
    look: str = "heat",
    opacity: float = OPACITY,
    color_map: str = COLOR_MAPS[0],
) -> Image.Image:
    """The photo with one word's attention over it.

    Args:
        photo: RGB.
        attention: weights (rows, columns). Where the model looked everywhere, the photo stays as it is.
        look: `heat`, colours from dark (not looked at) to bright; `spotlight`, the photo dark where the model did not
            look (as in Xu et al., figure 5); `contour`, a line around the smallest region that holds half the
            attention.
        opacity: of what is drawn over the photo, 0 to 1.
        color_map: one of COLOR_MAPS, for heat and contour.
    """
    if looked_everywhere(attention):
        return photo
    if look == "contour":
        return _draw_contour(photo, half_outlines(attention), opacity, contour_color(color_map))
    strength = attention_map(attention)
    if look == "spotlight":
        light = Image.fromarray(strength).resize(photo.size, Image.Resampling.BICUBIC)
        return Image.composite(photo, Image.blend(photo, Image.new("RGB", photo.size), opacity), light)
    return _draw_colors(photo, strength, opacity, color_map)


def occlusion_overlay(
    photo: Image.Image, drops: np.ndarray, most: float, *, opacity: float = OPACITY, color_map: str = COLOR_MAPS[0]
) -> Image.Image:
    """The photo with what mattered for one word over it, in colours from dark (nothing) to bright.

    Args:
        photo: RGB.
        drops, most: see `occlusion_map`.
        opacity, color_map: as of `attention_overlay`.
    """
    return _draw_colors(photo, occlusion_map(drops, most), opacity, color_map)


def looked_everywhere(attention: np.ndarray) -> bool:
    """Whether attention (rows, columns) is nearly flat: no cell has EVERYWHERE times the mean weight.

    Twice the mean was chosen by eye, on maps of the gallery and of 60 photos of Flickr8k dev: below it no place stands
    out, and above it somebody can point at one. Of the captions of the gallery and of 150 photos of dev it is true of
    22 % of the words, most often of “a”, “is”, “in”, “on” and the end.
    """
    return bool(attention.max() * attention.size < EVERYWHERE)


def attention_map(attention: np.ndarray) -> np.ndarray:
    """How strongly to draw attention, (MAP_SIZE, MAP_SIZE) uint8.

    255 is where the model looked most; where it looked everywhere alike, all stays dim.
    """
    enlarged = _enlarge(attention)
    return _to_bytes(enlarged / max(enlarged.max(), FULL_STRENGTH / attention.size))


def occlusion_map(drops: np.ndarray, most: float) -> np.ndarray:
    """How strongly to draw what mattered for a word, (MAP_SIZE, MAP_SIZE) uint8.

    Args:
        drops: of its log-probability, (rows, columns); see `Occlusion`. Where the word became likelier all stays dark.
        most: the drop that is drawn at full strength; the largest of the caption's.
    """
    return _to_bytes(_enlarge(drops.clip(0)) / max(most, SMALLEST_DROP))


def half_outlines(attention: np.ndarray) -> list[np.ndarray]:
    """Outlines of the smallest region that holds half the attention.

    Returns:
        Closed lines of points (n, 2), x and y from 0 to 1 of the photo's width and height.
    """
    weights = _enlarge(attention).clip(0)
    falling = np.sort(weights, axis=None)[::-1]
    level = float(falling[np.searchsorted(falling.cumsum(), falling.sum() / 2)])
    # A rim of zeros closes the lines of regions that reach the photo's edge.
    centers = np.concatenate([[0], (np.arange(MAP_SIZE) + 0.5) / MAP_SIZE, [1]])
    # Just below the level, so that attention that is the same everywhere has a line around it too.
    outlines: Any = contourpy.contour_generator(centers, centers, np.pad(weights, 1)).lines(level * 0.9999)
    return outlines


@cache
def color_table(name: str) -> np.ndarray:
    """The colours of a map from low to high, (256, 3) uint8."""
    tables = json.loads(Path(__file__).with_name("color_maps.json").read_text(encoding="utf-8"))
    return np.frombuffer(bytes.fromhex(tables[name]), np.uint8).reshape(256, 3)


def contour_color(name: str) -> str:
    """The colour of the contour's line with a map, as #rrggbb."""
    return "#" + color_table(name)[225].tobytes().hex()


def _to_bytes(strength: np.ndarray) -> np.ndarray:
    """Strengths from 0 to 1 as bytes; what lies outside is clipped."""
    return (strength.clip(0, 1) * 255).round().astype(np.uint8)


def _draw_colors(photo: Image.Image, strength: np.ndarray, opacity: float, color_map: str) -> Image.Image:
    colors = Image.fromarray(color_table(color_map)[strength]).resize(photo.size, Image.Resampling.BICUBIC)
    return Image.blend(photo, colors, opacity)


def _enlarge(weights: np.ndarray) -> np.ndarray:
    """Weights (rows, columns) spread smoothly over (MAP_SIZE, MAP_SIZE)."""
    size = (MAP_SIZE, MAP_SIZE)
    return np.asarray(Image.fromarray(weights.astype(np.float32)).resize(size, Image.Resampling.BICUBIC))


def _draw_contour(photo: Image.Image, outlines: list[np.ndarray], opacity: float, color: str) -> Image.Image:
    # Pillow draws lines with hard edges; drawn twice as large and made smaller they are smooth.
    size = (photo.width * 2, photo.height * 2)
    inside, line, rim = (Image.new("L", size) for _ in range(3))
    width = max(4, size[0] // 220)
    for outline in outlines:
        points = [tuple(point) for point in outline * size]
        hole = Image.new("L", size)
        ImageDraw.Draw(hole).polygon(points, fill=255)
        inside = Image.fromarray(np.asarray(inside) ^ np.asarray(hole))
        ImageDraw.Draw(rim).line(points, fill=180, width=2 * width, joint="curve")
        ImageDraw.Draw(line).line(points, fill=255, width=width, joint="curve")
    dark = Image.blend(photo, Image.new("RGB", photo.size), opacity * CONTOUR_SHADE)
    drawn = Image.composite(photo, dark, inside.resize(photo.size, Image.Resampling.BOX))
    drawn.paste((0, 0, 0), mask=rim.resize(photo.size, Image.Resampling.BOX))
    drawn.paste(color, mask=line.resize(photo.size, Image.Resampling.BOX))
    return drawn
