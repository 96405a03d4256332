"""Photos made ready for a screen."""

import base64
import io

from PIL import Image, ImageOps

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
