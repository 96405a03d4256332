"""Parts of a photo that are hidden from the model."""

import math
from collections.abc import Iterable, Sequence

from PIL import Image

from captioning.errors import RectangleError, shown

# (left, top, right, bottom) as fractions of the upright photo's width and height.
Rectangle = tuple[float, float, float, float]
MAX_RECTANGLES = 8
# Mid-gray, which is nearly zero once the encoder has scaled it.
HIDDEN_GRAY = 128


def read_rectangle(text: str) -> Rectangle:
    """A rectangle that is written as `left,top,right,bottom`.

    Raises:
        RectangleError: it is none, or does not lie in the photo.
    """
    return _checked(text.split(","))


def hide(photo: Image.Image, rectangles: Sequence[Rectangle]) -> Image.Image:
    """A copy of the photo in which rectangles are filled with mid-gray; the photo itself where there are none.

    Args:
        photo: RGB and upright, as `open_image` gives it.
        rectangles: (left, top, right, bottom) each, from 0 to 1 of the photo's width and height; at most 8. Every pixel
            that one touches is hidden.

    Raises:
        RectangleError: one is empty or does not lie in the photo, or there are too many.
    """
    if len(rectangles) > MAX_RECTANGLES:
        raise RectangleError(f"At most {MAX_RECTANGLES} rectangles can be hidden: leave some out.")
    if not rectangles:
        return photo
    hidden = photo.copy()
    for rectangle in rectangles:
        left, top, right, bottom = _checked(rectangle)
        first = math.floor(left * photo.width), math.floor(top * photo.height)
        last = math.ceil(right * photo.width), math.ceil(bottom * photo.height)
        hidden.paste((HIDDEN_GRAY,) * 3, (*first, *last))
    return hidden


def _checked(corners: Iterable[object]) -> Rectangle:
    corners = list(corners)
    try:
        left, top, right, bottom = map(float, corners)  # pyright: ignore[reportArgumentType] (what has no number raises)
    except (TypeError, ValueError):
        left = top = right = bottom = math.nan
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        written = shown(",".join(map(str, corners)))
        raise RectangleError(
            f"{written} is no rectangle in the photo: give left,top,right,bottom from 0 to 1, left below right and top "
            "below bottom."
        )
    return left, top, right, bottom
