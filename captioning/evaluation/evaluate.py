"""A split captioned and scored at several beam widths."""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from captioning.data.datasets import Example
from captioning.evaluation.metrics import bleu
from captioning.images import open_image
from captioning.inference.beam_search import SearchOptions
from captioning.inference.captioner import Captioner
from captioning.vocabulary import tokenize

CHUNK = 32


@dataclass(frozen=True)
class WidthScore:
    """The scores of one beam width.

    Attributes:
        beam_size: the width.
        bleu: BLEU-1 to BLEU-4, 0 to 100.
        seconds: encoding and searching, without reading the photos.
        captions: one a photo, in the split's order.
    """

    beam_size: int
    bleu: list[float]
    seconds: float
    captions: list[str]


def evaluate(
    captioner: Captioner, examples: Sequence[Example], beam_sizes: Sequence[int], options: SearchOptions
) -> list[WidthScore]:
    """Caption examples at each beam width, encoding each photo once, and score the captions.

    Raises:
        ImageError: a photo cannot be read.
    """
    captions: dict[int, list[str]] = {width: [] for width in beam_sizes}
    seconds = dict.fromkeys(beam_sizes, 0.0)
    with ThreadPoolExecutor() as readers, tqdm(total=len(examples), desc="Captioning", unit="photo") as bar:
        for start in range(0, len(examples), CHUNK):
            chunk = examples[start : start + CHUNK]
            encoded = captioner.encode(list(readers.map(lambda example: open_image(example.photo), chunk)))
            for width in beam_sizes:
                found = captioner.describe(encoded, replace(options, beam_size=width))
                captions[width] += [caption.text for caption in found]
                seconds[width] += encoded.seconds + sum(caption.seconds.search for caption in found)
            bar.update(len(chunk))
    references = [[tokenize(caption) for caption in example.captions] for example in examples]
    return [
        WidthScore(
            width, bleu([caption.split() for caption in captions[width]], references), seconds[width], captions[width]
        )
        for width in beam_sizes
    ]


def coco_results(examples: Sequence[Example], captions: Sequence[str]) -> list[dict]:
    """Captions in COCO's results format; `image_id` is COCO's number, or the file name in other data sets."""
    return [
        {"image_id": _image_id(example.photo), "caption": caption}
        for example, caption in zip(examples, captions, strict=True)
    ]


def _image_id(photo: Path) -> int | str:
    coco = re.fullmatch(r"(?:COCO_\w+_)?(\d{12})", photo.stem)
    return int(coco[1]) if coco else photo.name
