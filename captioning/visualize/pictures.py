"""Photos made ready for a screen."""

import io

from PIL import Image, ImageOps


def fit(photo: Image.Image, longest: int) -> Image.Image:
    """The photo, made smaller if need be, so that neither side is longer than `longest`."""
    smaller = photo.copy()
    smaller.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return smaller


def thumbnail(photo: Image.Image, size: int) -> Image.Image:
    """The middle of the photo as a square."""
    return ImageOps.fit(photo, (size, size), Image.Resampling.LANCZOS)


def to_jpeg(image: Image.Image) -> bytes:
    """The image as a file for a browser."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=88)
    return file.getvalue()
