"""*Show, Attend and Tell*: captions of photos, and where the model looked for each word.

from captioning import Captioner
caption = Captioner.from_checkpoint("checkpoints/flickr8k-efficientnet-lite2.safetensors")("photo.jpg")
print(caption.text)
"""

from captioning.errors import CaptioningError, CheckpointError, DatasetError, ImageError, PrefixError
from captioning.images import open_image
from captioning.inference.beam_search import SearchOptions
from captioning.inference.caption import Caption, Step
from captioning.inference.captioner import Captioner

__all__ = [
    "Caption",
    "Captioner",
    "CaptioningError",
    "CheckpointError",
    "DatasetError",
    "ImageError",
    "PrefixError",
    "SearchOptions",
    "Step",
    "open_image",
]
