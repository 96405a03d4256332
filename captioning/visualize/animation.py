"""A caption as an animation: one frame a word, with the word's attention, and the caption under it."""

import io
import math
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image, ImageDraw

from captioning.errors import CaptioningError
from captioning.hiding import hide
from captioning.inference.caption import Caption
from captioning.visualize.drawing import ACCENT, INK, PAPER, drawn, step_font
from captioning.visualize.export import Scene
from captioning.visualize.fonts import is_right_to_left
from captioning.visualize.player.data import CaptionPane
from captioning.visualize.screen import spoken, squeezed

GIF_SIZE, VIDEO_SIZE = 600, 960
# Of each frame; the last stays twice as long.
MILLISECONDS = 1300
# Four frames a word, for some players stumble over less than one a second: the others are copies of the first. It plays
# while it is loaded.
VIDEO = ["-r", f"4000/{MILLISECONDS}", "-preset", "veryfast", "-movflags", "+faststart"]


def to_gif(scene: Scene) -> bytes:
    """One frame a word: the photo with the word's attention, and under it the caption with the word marked."""
    frames = list(_frames(scene, GIF_SIZE))
    # One palette for all frames, so that nothing but the attention changes; each frame whole, so that none is merged.
    palette = _palette(frames)
    frames = [frame.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for frame in frames]
    times = [MILLISECONDS] * len(frames)
    times[-1] *= 2
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=times, loop=0, disposal=1)
    return file.getvalue()


def to_mp4(scene: Scene) -> bytes:
    """The same as a video in H.264, which slides and messengers play.

    Raises:
        CaptioningError: imageio-ffmpeg is not installed, or finds no ffmpeg.
    """
    try:
        # Here, because it is installed where somebody wants videos.
        from imageio_ffmpeg import write_frames
    except ImportError:
        raise CaptioningError("A video needs imageio-ffmpeg: pip install imageio-ffmpeg.") from None
    frames = _frames(scene, VIDEO_SIZE)
    # H.264 in the colours that every player knows has even sides.
    first = next(frames)
    width, height = (length - length % 2 for length in first.size)
    with TemporaryDirectory() as folder:
        path = Path(folder, "caption.mp4")
        video = write_frames(
            path,
            (width, height),
            fps=1000 / MILLISECONDS,  # pyright: ignore[reportArgumentType] (its documentation says float)
            quality=6,
            macro_block_size=2,
            output_params=VIDEO,
            ffmpeg_log_level="error",
        )
        try:
            video.send(None)
            for frame in chain([first], frames):
                even = frame.crop((0, 0, width, height)).tobytes()
                video.send(even)
            video.send(even)
            video.close()
        except (OSError, RuntimeError) as error:
            raise CaptioningError(f"The video cannot be made ({error}): export a GIF.") from None
        return path.read_bytes()


def _frames(scene: Scene, size: int) -> Iterator[Image.Image]:
    """For every step the panes beside each other, their photos with the longer side at this length."""
    photo = _scaled(squeezed(scene.photo), size)
    count = max(len(pane.caption.steps) for pane in scene.panes)
    scale = size / GIF_SIZE
    for index in range(count):
        yield _beside([_frame(photo, pane, index, scene.look, scale) for pane in scene.panes])


def _frame(photo: Image.Image, pane: CaptionPane, index: int, look: str, scale: float) -> Image.Image:
    """A pane at a step, or at its last if it has fewer."""
    steps = pane.caption.steps
    at = min(index, len(steps) - 1)
    picture = drawn(hide(photo, pane.hidden), pane, at, look)
    return _with_sentence(picture, pane.caption, at, scale)


def _beside(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures from left to right, on paper where one is lower than the others."""
    width, height = sum(picture.width for picture in pictures), max(picture.height for picture in pictures)
    joined = Image.new("RGB", (width, height), PAPER)
    for index, picture in enumerate(pictures):
        joined.paste(picture, (index * picture.width, 0))
    return joined


def _with_sentence(picture: Image.Image, caption: Caption, current: int, scale: float) -> Image.Image:
    """The picture with the words under it, the current one marked; letters are as large as a GIF's at scale 1."""
    size, space, line, margin, above = (round(scale * length) for length in (26, 14, 44, 20, 16))
    words = [(spoken(step.word), step_font(caption, step, size)) for step in caption.steps]
    places, x, y = [], margin, picture.height + above
    for word, font in words:
        width = round(font.getlength(word))
        if x > margin and x + width > picture.width - margin:
            x, y = margin, y + line
        left = picture.width - x - width if is_right_to_left(caption.text) else x
        places.append((left, y, width))
        x += width + space
    frame = Image.new("RGB", (picture.width, y + line + above // 2), PAPER)
    frame.paste(picture)
    draw = ImageDraw.Draw(frame)
    for index, ((word, font), (left, top, width)) in enumerate(zip(words, places, strict=True)):
        if index == current:
            box = (left - space * 3 // 7, top - above // 5, left + width + space * 3 // 7, top + size * 17 // 13)
            draw.rounded_rectangle(box, above // 2, ACCENT)
        draw.text((left, top), word, PAPER if index == current else INK, font)
    return frame


def _palette(frames: Sequence[Image.Image]) -> Image.Image:
    """256 colours for all frames together."""
    sample = Image.new("RGB", (frames[0].width, frames[0].height * min(len(frames), 4)))
    for place, index in enumerate(range(0, len(frames), math.ceil(len(frames) / 4))):
        sample.paste(frames[index], (0, place * frames[0].height))
    return sample.quantize(256, method=Image.Quantize.MEDIANCUT)


def _scaled(photo: Image.Image, longest: int) -> Image.Image:
    """The photo with its longer side at this length, enlarged if it is smaller."""
    factor = longest / max(photo.size)
    size = (max(160, round(photo.width * factor)), max(40, round(photo.height * factor)))
    return photo.resize(size, Image.Resampling.LANCZOS)
