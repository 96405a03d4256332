"""What animations and slides have in common: colours, a photo with a step over it, and the font of its word."""

from PIL import Image, ImageDraw

from captioning.inference.caption import Caption, Step
from captioning.visualize.fonts import Font, font_for
from captioning.visualize.looks import OCCLUSION
from captioning.visualize.overlay import attention_overlay, looked_everywhere, occlusion_overlay
from captioning.visualize.player.data import CaptionPane
from captioning.visualize.screen import spoken

INK, QUIET, PAPER, ACCENT = "#1f1b2e", "#5b566b", "#ffffff", "#6d28d9"


def drawn(photo: Image.Image, pane: CaptionPane, index: int, look: str) -> Image.Image:
    """The photo with a step of a pane over it; where the model looked everywhere, that is said instead."""
    if look == OCCLUSION and pane.occlusion:
        drops = pane.occlusion.drops
        return occlusion_overlay(photo, drops[index], drops.max())
    attention = pane.caption.steps[index].attention
    picture = attention_overlay(photo, attention, look=look)
    return _tagged(picture, "looked everywhere") if looked_everywhere(attention) else picture


def _tagged(picture: Image.Image, text: str) -> Image.Image:
    """The picture with a line of text in its lower left corner."""
    tagged, font = picture.copy(), font_for(text, max(14, picture.width // 28))
    margin = font.size // 2
    left, bottom = margin, tagged.height - margin
    draw = ImageDraw.Draw(tagged)
    box = draw.textbbox((left + margin, bottom - margin), text, font, anchor="ls")
    draw.rounded_rectangle((left, box[1] - margin, box[2] + margin, bottom), margin, PAPER)
    draw.text((left + margin, bottom - margin), text, QUIET, font, anchor="ls")
    return tagged


def step_font(caption: Caption, step: Step, size: int) -> Font:
    """The same for all words of a caption; what stands for its end is English."""
    return font_for(spoken(step.word) if step.end else caption.text, size)
