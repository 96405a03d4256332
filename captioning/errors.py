"""What a user did or has that stops the program, in one sentence with the remedy."""

# Of a name in a sentence: enough to know it by.
LONGEST_SHOWN = 80


class CaptioningError(Exception):
    """Base of every error that the user can fix; its message is one sentence, shown as it is."""


class ImageError(CaptioningError):
    """A photo that cannot be read, or is beyond the limits."""


class CheckpointError(CaptioningError):
    """A checkpoint, or the ImageNet weights of an encoder, that cannot be loaded or is not sound."""


class DatasetError(CaptioningError):
    """A data set folder that is missing something, or holds nothing to use."""


class PrefixError(CaptioningError):
    """Words that a caption was asked to begin with, and cannot."""


class ExportError(CaptioningError):
    """A model that ONNX Runtime does not run."""


class RectangleError(CaptioningError):
    """A part of a photo that was asked to be hidden, and cannot be."""


def shown(name: object) -> str:
    """A name from outside as a sentence can hold it: on one line, of bounded length, and nothing that turns text round.

    Characters that are not printed (line breaks, NUL, right-to-left marks) become �.
    """
    text = printable(str(name))
    half = LONGEST_SHOWN // 2
    return text if len(text) <= LONGEST_SHOWN else f"{text[:half]}…{text[-half:]}"


def printable(text: str) -> str:
    """The text with what is not printed (line breaks, NUL, right-to-left marks, halves of characters) as �."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)
