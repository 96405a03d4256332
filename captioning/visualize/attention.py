"""Attention drawn over the photo."""

import matplotlib
import numpy as np
from PIL import Image

# Perceptually even and safe for colour-blind viewers.
COLOR_MAP = "inferno"
# How far the photo is dimmed where the model did not look.
DIMMED = 0.45
# A cell is drawn at full strength only if its weight is this many times that of attention spread evenly.
FULL_STRENGTH = 4


def attention_overlay(photo: Image.Image, attention: np.ndarray, *, opacity: float = 0.5) -> Image.Image:
    """The photo with a heat map of one word's attention.

    The brightest place is where the model looked most; where it looked everywhere alike, all stays dim.

    Args:
        photo: RGB.
        attention: weights (rows, columns).
        opacity: of the colour where the weight is highest; 0 leaves the photo's own colours.
    """
    strength = _enlarge(attention / max(attention.max(), FULL_STRENGTH / attention.size), photo.size)
    color = matplotlib.colormaps[COLOR_MAP](0.25 + 0.65 * strength)[..., :3] * 255
    pixels = np.asarray(photo, dtype=np.float32)
    lit = pixels * (DIMMED + (1 - DIMMED) * strength[..., np.newaxis])
    cover = (opacity * strength)[..., np.newaxis]
    return Image.fromarray((lit * (1 - cover) + color * cover).astype(np.uint8))


def _enlarge(weights: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Weights (rows, columns) spread smoothly over (height, width), in [0, 1]."""
    image = Image.fromarray(weights.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
    return np.asarray(image).clip(0, 1)
