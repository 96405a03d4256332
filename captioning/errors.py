"""What a user did or has that stops the program, told in one sentence with the remedy."""


class CaptioningError(Exception):
    """Base of every error that is the user's to mend; its message is one sentence to show as it is."""


class ImageError(CaptioningError):
    """A photo that cannot be read, or is beyond the limits."""


class CheckpointError(CaptioningError):
    """A checkpoint, or the ImageNet weights of an encoder, that cannot be had or is not sound."""


class DatasetError(CaptioningError):
    """A data set folder that is missing something, or holds nothing to use."""


class PrefixError(CaptioningError):
    """Words that a caption was asked to begin with, and cannot."""
