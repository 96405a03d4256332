"""Fonts of exported pictures: Pillow's own, which has Latin letters, else an installed one that has all of a text's."""

import unicodedata
from functools import cache

from PIL import Image, ImageDraw, ImageFont, features

from captioning.errors import CaptioningError, shown

# Pillow's own is one of these too, for FreeType comes with its wheels.
Font = ImageFont.FreeTypeFont

SCRIPTS = (
    *("", "Arabic", "Hebrew", "Devanagari", "Bengali", "Tamil", "Telugu", "Gujarati", "Gurmukhi", "Kannada"),
    *("Malayalam", "Sinhala", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan", "Georgian", "Armenian", "Ethiopic"),
)
# What Linux, macOS and Windows call their fonts of other scripts; the first that has all letters is taken.
INSTALLED = (
    *("DejaVuSans.ttf", "NotoSansCJK-Regular.ttc", "wqy-microhei.ttc", "wqy-zenhei.ttc", "FreeSans.ttf"),
    *(f"NotoSans{script}-Regular.ttf" for script in SCRIPTS),
    "Arial Unicode.ttf",
    *("segoeui.ttf", "msyh.ttc", "malgun.ttf", "msgothic.ttc", "Nirmala.ttf", "Nirmala.ttc", "LeelawUI.ttf"),
    *("mmrtext.ttf", "himalaya.ttf", "ebrima.ttf"),
)
# No font has this character, so it is drawn as letters are that a font lacks.
NO_CHARACTER = "\uffff"
# Categories of marks that are drawn with the letter before them.
MARKS = ("Mn", "Mc")


def font_for(text: str, size: int) -> Font:
    """A font that has all letters of a text.

    Raises:
        CaptioningError: none that is installed has them, or Pillow cannot lay them out.
    """
    letters = frozenset(letter for letter in text if not letter.isspace())
    if _needs_raqm(letters) and not features.check("raqm"):
        raise CaptioningError(
            f"Pillow cannot lay out {shown(text)!r} without FriBiDi: install libfribidi0, or choose HTML or JSON."
        )
    name = _name_of(letters)
    return _open(name, size)


def font_for_any(text: str, size: int) -> Font:
    """The same, or Pillow's own where there is none: for what need not be read."""
    try:
        return font_for(text, size)
    except CaptioningError:
        return _open(None, size)


def is_right_to_left(text: str) -> bool:
    """Whether the first letter that has a direction is of a script written from right to left."""
    return next((way != "L" for way in map(unicodedata.bidirectional, text) if way in ("L", "R", "AL")), False)


def _needs_raqm(letters: frozenset[str]) -> bool:
    """Whether letters have to be reordered or joined, which Pillow leaves to Raqm."""
    return any(
        unicodedata.bidirectional(each) in ("R", "AL") or unicodedata.category(each) in MARKS for each in letters
    )


def _open(name: str | None, size: int) -> Font:
    font = ImageFont.load_default(size) if name is None else ImageFont.truetype(name, size)
    assert isinstance(font, Font)
    return font


@cache
def _name_of(letters: frozenset[str]) -> str | None:
    """The name of an installed font with these letters, or None for Pillow's own."""
    for name in (None, *INSTALLED):
        try:
            font = _open(name, 20)
        except OSError:
            continue
        missing = _drawn(NO_CHARACTER, font)
        if all(_drawn(letter, font) != missing for letter in letters):
            return name
    raise CaptioningError(
        f"No installed font has the letters of {shown(''.join(sorted(letters)))!r}: install one (on Debian, "
        "fonts-noto-cjk or fonts-noto-core), or choose HTML or JSON."
    )


def _drawn(letter: str, font: Font) -> bytes:
    picture = Image.new("L", (60, 60))
    ImageDraw.Draw(picture).text((15, 15), letter, 255, font)
    return picture.tobytes()
