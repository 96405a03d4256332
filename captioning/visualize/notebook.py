"""A caption as a notebook shows it."""

import html
import os
from pathlib import Path

from captioning.errors import ImageError
from captioning.images import open_image
from captioning.inference.caption import Caption
from captioning.visualize.export import Scene, to_html
from captioning.visualize.player.data import CaptionPane

HEIGHT = 660


def notebook_html(caption: Caption) -> str | None:
    """The step-through, in a frame of its own: a notebook runs no scripts in what it inserts.

    Returns:
        HTML; None where the caption does not know its photo, or the photo cannot be opened again.
    """
    if caption.photo is None:
        return None
    try:
        photo = open_image(caption.photo)
    except ImageError:
        return None
    title = Path(caption.photo).name if isinstance(caption.photo, str | os.PathLike) else "Photo"
    page = to_html(Scene(title, photo, (CaptionPane(caption, hidden=caption.hidden),))).decode()
    style = f"width: 100%; height: {HEIGHT}px; border: 0"
    return (
        f'<iframe srcdoc="{html.escape(page)}" title="{html.escape(title)}" style="{style}" allowfullscreen></iframe>'
    )
