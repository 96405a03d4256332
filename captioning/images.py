"""Reading photos: whatever a photo is given as in, an upright RGB photo out."""

import io
import os
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image

from captioning.arrays import as_array, is_photo, to_image
from captioning.blocks import too_many_blocks
from captioning.errors import ImageError, shown
from captioning.memory import allowed_bytes

# What a photo can be given as; also a PyTorch tensor, whose type only its owner imports.
PhotoSource = str | os.PathLike | bytes | bytearray | memoryview | BinaryIO | Image.Image | np.ndarray
SOURCES = (
    "a path, bytes, a bytearray, a memoryview, a file opened in binary mode, a Pillow image, a NumPy array (H, W) or "
    "(H, W, C), or a PyTorch tensor (H, W) or (C, H, W); arrays and tensors of uint8, uint16 or floats"
)
MAX_BYTES = 32 * 1024 * 1024
MAX_PIXELS = 64_000_000
# Of readers that hold a photo several times over: a WebP's has two canvases and copies one of them twice, an AVIF's and
# a TIFF's hold it in more bits, and that of a progressive JPEG has all of its coefficients.
MAX_COPIED_PIXELS = 32_000_000
# A run-length encoded BMP is read in Python.
MAX_RUN_LENGTH_PIXELS = 8_000_000
# At these limits a photo takes up to 600 MB. With less memory than four times that they shrink in proportion.
ENOUGH_MEMORY = 2_400_000_000
# Of EXIF longer than this, which has no orientation of a camera's, nothing is read.
MAX_EXIF_BYTES = 4 * 1024 * 1024
# More than any encoder or screen shows; larger photos are made smaller, so that keeping a few costs little.
MAX_SIDE = 1280
# A photo is averaged down to twice that first, a strip at a time, so that what its mode is converted to is small.
AVERAGED_SIDE, STRIP_ROWS = 2 * MAX_SIDE, 512
# Of photos with more pixels than this one is opened at a time: many people may upload theirs at once.
LARGE_PIXELS = 8_000_000
# Pillow reads more, some of it by running Ghostscript (EPS) or before its size can be checked (ICO).
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"})
# Of a BMP's compressions RLE8 and RLE4.
_RUN_LENGTH = (1, 2)
# How a photo with an EXIF orientation is set upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://|data:", re.IGNORECASE)
_large = threading.Lock()


def open_image(source: PhotoSource, called: str | None = None) -> Image.Image:
    """Open a photo as upright 8-bit RGB.

    The EXIF orientation is applied, transparency is composed on white, and 16-bit, floating-point, palette,
    grayscale and CMYK photos are converted. Of an animation the first frame is taken. A photo with a side of over
    1,280 pixels is made smaller.

    Args:
        source: a path, the bytes of a file, a file opened in binary mode, a Pillow image, a NumPy array (H, W) or
            (H, W, C), or a PyTorch tensor (H, W) or (C, H, W). C is 1, 3, or with transparency 2 or 4. Arrays and
            tensors are of uint8, uint16, or floats from 0 to 1 or from 0 to 255. None of them is changed.
        called: what to call it where it cannot be read; by default by the file's name.

    Raises:
        ImageError: the source is missing, empty, no image, damaged, over 32 MB or over 64 megapixels (a WebP,
            AVIF or TIFF and some JPEGs 32, a BMP that is run-length encoded 8; fewer where little memory is allowed).
        TypeError: it is none of these.
    """
    array = as_array(source)
    if array is not None and is_photo(array):
        name = shown(called or "The photo")
        source = to_image(array, name)
    if isinstance(source, Image.Image):
        name = shown(called or Path(str(getattr(source, "filename", "") or "The photo")).name)
        with _one_sentence_errors(name):
            return _upright_within_limits(name, source, ours=False)
    name, data = _read(source, called)
    if not data:
        raise ImageError(f"{name} is empty: choose another photo.")
    if len(data) > MAX_BYTES:
        raise ImageError(f"{name} is larger than {MAX_BYTES // 2**20} MB: save it smaller and try again.")
    if too_many_blocks(data):
        raise ImageError(f"{name} is cut into too many blocks to be read: save it again from an image program.")
    with _one_sentence_errors(name), Image.open(io.BytesIO(data), formats=FORMATS) as image:
        return _upright_within_limits(name, image, ours=True)


def to_pixels(photo: Image.Image, size: int) -> np.ndarray:
    """The whole photo, resized to a square, as uint8 (3, size, size).

    The photo is squeezed rather than cropped, so that every part of it can be described and attended to.
    """
    if photo.size != (size, size):
        photo = photo.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=None)
    return np.ascontiguousarray(np.array(photo).transpose(2, 0, 1))


def _read(source: Any, called: str | None) -> tuple[str, bytes]:
    """The name to use in messages, and at most one byte more than is allowed."""
    if isinstance(source, bytes | bytearray | memoryview):
        return shown(called or "The photo"), bytes(memoryview(source).cast("B")[: MAX_BYTES + 1])
    if isinstance(source, str | os.PathLike):
        return _read_file(source, called)
    if not hasattr(source, "read") or isinstance(source, io.TextIOBase):
        raise TypeError(f"A photo is {SOURCES}; not {_kind(source)}.")
    name = shown(called or Path(str(getattr(source, "name", "") or "The photo")).name)
    try:
        return name, source.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        # A file that is closed is a ValueError.
        raise ImageError(f"{name} cannot be read ({shown(error)}): open it again.") from None


def _kind(source: Any) -> str:
    """The type of what is not a photo, and the shape of what is an array."""
    kind, shape = type(source), getattr(source, "shape", None)
    name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
    return shown(name if shape is None else f"{name} of shape {tuple(shape)} and type {source.dtype}")


def _read_file(source: str | os.PathLike, called: str | None) -> tuple[str, bytes]:
    place = shown(called or source)
    if isinstance(source, str) and _ADDRESS.match(source):
        raise ImageError(f"{place} is an address, not a file: download the photo and name its file.")
    path = Path(source)
    try:
        with path.open("rb") as file:
            return shown(called or path.name), file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ImageError(f"There is no photo {place}: check the name.") from None
    except IsADirectoryError:
        raise ImageError(f"{place} is a folder: name a photo in it.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "its name is not a valid path"
        raise ImageError(f"{place} cannot be opened ({reason}): check the name and its permissions.") from None


@contextmanager
def _one_sentence_errors(name: str) -> Iterator[None]:
    """Whatever Pillow raises within comes out as an ImageError."""
    try:
        with warnings.catch_warnings():
            # Pillow warns of large photos from 89 megapixels on; the limit here is lower and is an error.
            warnings.simplefilter("ignore")
            yield
    except ImageError:
        raise
    except Image.DecompressionBombError:
        raise _too_many_pixels(name, _fitting(MAX_PIXELS)) from None
    except MemoryError:
        raise ImageError(f"{name} needs more memory than there is: save it smaller and try again.") from None
    except Image.UnidentifiedImageError:
        raise ImageError(f"{name} is not a photo: choose a JPEG, PNG, WebP, GIF, BMP or TIFF file.") from None
    except Exception:
        # Pillow's readers raise nearly anything on damaged data: OSError, SyntaxError, struct.error, IndexError …
        raise ImageError(f"{name} is damaged or cut short: choose another copy of it.") from None


def _upright_within_limits(name: str, image: Image.Image, *, ours: bool) -> Image.Image:
    _check_size(name, image)
    with _large if image.width * image.height > LARGE_PIXELS else nullcontext():
        # Some of what follows works in place.
        return _upright_rgb(image if ours else image.copy())


def _check_size(name: str, image: Image.Image) -> None:
    limit = _most_pixels(image)
    if image.width * image.height > limit:
        raise _too_many_pixels(name, limit)


def _most_pixels(image: Image.Image) -> int:
    if image.format == "BMP" and image.info.get("compression") in _RUN_LENGTH:
        return _fitting(MAX_RUN_LENGTH_PIXELS)
    # One that is long, or in CMYK, is not decoded smaller, or holds too much all the same.
    large_jpeg = "progressive" in image.info and (image.mode == "CMYK" or min(image.size) < 2 * AVERAGED_SIDE)
    copied = image.format in ("WEBP", "AVIF", "TIFF") or large_jpeg
    return _fitting(MAX_COPIED_PIXELS if copied else MAX_PIXELS)


def _fitting(pixels: int) -> int:
    """How many of so many pixels there is memory for."""
    return int(pixels * min(1, allowed_bytes() / ENOUGH_MEMORY))


def _too_many_pixels(name: str, limit: int) -> ImageError:
    reason = "" if allowed_bytes() >= ENOUGH_MEMORY else ", for which there is too little memory here"
    return ImageError(f"{name} has more than {limit / 1e6:.0f} megapixels{reason}: save it smaller and try again.")


def _upright_rgb(image: Image.Image) -> Image.Image:
    mode = image.mode
    # A JPEG is decoded smaller where that is enough.
    image.draft(None, (AVERAGED_SIDE, AVERAGED_SIDE))
    # Pillow sets a TIFF upright as it loads it, and then no longer says that it was not.
    image.load()
    photo = _averaged(image)
    photo.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS, reducing_gap=None)
    long = len(image.info.get("exif", b"")) > MAX_EXIF_BYTES
    turn = None if long else _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    if turn is not None:
        photo = photo.transpose(turn)
    return _on_white(_from_deep_gray(photo, mode) if photo.mode in ("I", "F") else photo)


def _averaged(image: Image.Image) -> Image.Image:
    """The image with its longer side below twice AVERAGED_SIDE, in a mode whose pixels can be averaged."""
    factor = max(image.size) // AVERAGED_SIDE
    if factor < 2:
        return _averageable(image)
    step = STRIP_ROWS * factor
    tops = range(0, image.height, step)
    boxes = [(0, top, image.width, min(top + step, image.height)) for top in tops]
    strips = [_averageable(image.crop(box)).reduce(factor) for box in boxes]
    whole = Image.new(strips[0].mode, (strips[0].width, sum(strip.height for strip in strips)))
    for index, strip in enumerate(strips):
        whole.paste(strip, (0, index * STRIP_ROWS))
    return whole


def _averageable(image: Image.Image) -> Image.Image:
    """No palette, no single bits, no transparent colour, no 16 bits."""
    if image.mode.startswith("I;16"):
        return image.convert("I")
    if image.has_transparency_data and image.mode not in ("LA", "RGBA", "La", "RGBa"):
        return image.convert("RGBA")
    return image.convert("RGB") if image.mode in ("1", "P") else image


def _on_white(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _from_deep_gray(image: Image.Image, mode: str) -> Image.Image:
    """16-bit, 32-bit or floating-point gray, whose range Pillow would clip to 0–255 when converting.

    Args:
        image: in mode I or F.
        mode: that of the file.
    """
    values = np.array(image, dtype=np.float32)
    np.nan_to_num(values, copy=False, posinf=0.0, neginf=0.0)
    top = float(values.max())
    if mode == "F":
        scale = 255.0 if top <= 1.0 else 255.0 / top
    elif mode == "I" and top <= 255:
        scale = 1.0
    else:
        scale = 255.0 / max(top, 65535.0)
    values *= scale
    return Image.fromarray(values.clip(0, 255, out=values).astype(np.uint8))
