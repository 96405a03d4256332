"""Reading photos: bytes, a path or a file object in, an upright RGB photo out."""

import io
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.nn.functional import interpolate

from captioning.errors import ImageError

MAX_BYTES = 32 * 1024 * 1024
MAX_PIXELS = 64_000_000
# More than any encoder or screen shows; larger photos are made smaller, so that keeping a few costs little.
MAX_SIDE = 1280
# Pillow reads more, some of it by running Ghostscript (EPS) or before its size can be checked (ICO).
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"})


def open_image(source: str | Path | bytes | BinaryIO, called: str | None = None) -> Image.Image:
    """Open a photo as upright 8-bit RGB.

    The EXIF orientation is applied, transparency is composed on white, and 16-bit, floating-point, palette,
    grayscale and CMYK photos are converted. Of an animation the first frame is taken. A photo with a side of over
    1,280 pixels is made smaller.

    Args:
        source: the photo.
        called: what to call it where it cannot be read; by default by the file's name.

    Raises:
        ImageError: the source is missing, empty, no image, damaged, over 32 MB or over 64 megapixels.
    """
    name, data = _read(source, called)
    if not data:
        raise ImageError(f"{name} is empty: choose another photo.")
    if len(data) > MAX_BYTES:
        raise ImageError(f"{name} is larger than {MAX_BYTES // 2**20} MB: save it smaller and try again.")
    try:
        with warnings.catch_warnings():
            # Pillow warns of large photos from 89 megapixels on; the limit here is lower and is an error.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                _check_size(name, image.size)
                photo = _resizable(image)
                # Before anything else is made of it: a photo of 64 megapixels takes 256 MB at every turn.
                photo.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
                return _on_white(ImageOps.exif_transpose(photo))
    except ImageError:
        raise
    except Image.DecompressionBombError:
        raise ImageError(_too_many_pixels(name)) from None
    except Image.UnidentifiedImageError:
        raise ImageError(f"{name} is not a photo: choose a JPEG, PNG, WebP, GIF, BMP or TIFF file.") from None
    except Exception:
        # Pillow's readers raise nearly anything on damaged data: OSError, SyntaxError, struct.error, IndexError …
        raise ImageError(f"{name} is damaged or cut short: choose another copy of it.") from None


def to_pixels(photo: Image.Image, size: int) -> torch.Tensor:
    """The whole photo, resized to a square, as a uint8 tensor (3, size, size).

    The photo is squeezed rather than cropped, so that every part of it can be described and attended to.
    """
    pixels = torch.from_numpy(np.array(photo)).permute(2, 0, 1)
    if photo.size == (size, size):
        return pixels
    # What Pillow computes, to within one value of 255 where it rounds another way, in half the time.
    return interpolate(pixels.unsqueeze(0), (size, size), mode="bicubic", antialias=True)[0]


def _read(source: str | Path | bytes | BinaryIO, called: str | None) -> tuple[str, bytes]:
    """The name to use in messages, and at most one byte more than is allowed."""
    if isinstance(source, bytes):
        return called or "The photo", source
    if not isinstance(source, str | Path):
        name = Path(str(getattr(source, "name", "") or "The photo")).name
        return called or name, source.read(MAX_BYTES + 1)
    path = Path(source)
    name = called or path.name
    try:
        with path.open("rb") as file:
            return name, file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ImageError(f"There is no photo {called or path}: check the name.") from None
    except IsADirectoryError:
        raise ImageError(f"{called or path} is a folder: name a photo in it.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "its name is not a valid path"
        raise ImageError(f"{name!r} cannot be opened ({reason}): check the name and its permissions.") from None


def _check_size(name: str, size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise ImageError(_too_many_pixels(name))


def _too_many_pixels(name: str) -> str:
    return f"{name} has more than {MAX_PIXELS // 10**6} megapixels: save it smaller and try again."


def _resizable(image: Image.Image) -> Image.Image:
    """The image in a mode whose pixels can be averaged: no palette, no single bits, no transparent colour."""
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return _from_deep_gray(ImageOps.exif_transpose(image))
    if image.has_transparency_data and image.mode not in ("LA", "RGBA", "La", "RGBa"):
        return image.convert("RGBA")
    return image.convert("RGB") if image.mode in ("1", "P") else image


def _on_white(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _from_deep_gray(image: Image.Image) -> Image.Image:
    """16-bit, 32-bit or floating-point gray, whose range Pillow would clip to 0–255 when converting."""
    values = np.array(image, dtype=np.float32)
    np.nan_to_num(values, copy=False, posinf=0.0, neginf=0.0)
    top = float(values.max())
    if image.mode == "F":
        scale = 255.0 if top <= 1.0 else 255.0 / top
    elif image.mode == "I" and top <= 255:
        scale = 1.0
    else:
        scale = 255.0 / max(top, 65535.0)
    values *= scale
    return Image.fromarray(values.clip(0, 255, out=values).astype(np.uint8))
