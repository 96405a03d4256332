"""What every drawing for a screen uses: photos of the right size, words and numbers as text, and the browser's code."""

import base64
import io
from pathlib import Path

from PIL import Image, ImageOps

from captioning.vocabulary import END, SPECIAL_TOKENS

# As many times its height a photo is shown wide at most, and as many times its width high.
WIDEST, TALLEST = 12, 3


def fit(photo: Image.Image, longest: int) -> Image.Image:
    """The photo, made smaller if need be, so that neither side is longer than `longest`."""
    smaller = photo.copy()
    smaller.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return smaller


def squeezed(photo: Image.Image) -> Image.Image:
    """The photo, made shorter or narrower if it is so long that nobody could see it, beside others or on a screen."""
    width, height = photo.size
    size = min(width, WIDEST * height), min(height, TALLEST * width)
    return photo if size == photo.size else photo.resize(size, Image.Resampling.LANCZOS)


def thumbnail(photo: Image.Image, size: int) -> Image.Image:
    """The middle of the photo as a square."""
    return ImageOps.fit(photo, (size, size), Image.Resampling.LANCZOS)


def to_url(image: Image.Image) -> str:
    """The image for a browser, as a URL that holds it whole."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def spoken(word: str) -> str:
    """The word as it is shown: the end token is named without its brackets."""
    return "end" if word == SPECIAL_TOKENS[END] else word


def number(value: float, digits: int = 2) -> str:
    """The number with a true minus sign."""
    return f"{value:.{digits}f}".replace("-", "−")


def source(name: str) -> str:
    """The HTML, CSS or JavaScript of a file beside this one; for instance `player/player.js`."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")
