"""A split captioned and scored at several beam widths."""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from captioning.data.datasets import Example
from captioning.evaluation.diversity import content_recall, diversity, gender_confusions
from captioning.evaluation.metrics import (
    attention_movement,
    bleu,
    cider_scores,
    consensus,
    dangling_endings,
    doubled_words,
)
from captioning.images import open_image
from captioning.inference.caption import Caption
from captioning.inference.captioner import Captioner
from captioning.inference.options import SearchOptions
from captioning.inference.sureness import PERCENTILES
from captioning.rank_correlation import rank_correlation
from captioning.vocabulary import tokenize

CHUNK = 32


@dataclass(frozen=True)
class WidthScore:
    """The scores of one beam width.

    Attributes:
        beam_size: the width.
        bleu: BLEU-1 to BLEU-4, 0 to 100.
        metrics: `cider`, `rouge_l`, `meteor` where Java is found (all times 100); `words` (mean length), `doubled` and
            `dangling` (captions that say a word twice in a row, or break off); `movement` (mean total-variation
            distance between consecutive words' attention); those of `diversity`, `content_recall` and
            `gender_confusions`; `calibration` (Spearman's correlation between a caption's log-probability a word and
            its CIDEr).
        percentiles: PERCENTILES of the captions' log-probabilities a word (nats, `<end>` counts).
        seconds: encoding and searching, without reading the photos.
        captions: one a photo, in the split's order.
    """

    beam_size: int
    bleu: list[float]
    metrics: dict[str, float]
    percentiles: list[float]
    seconds: float
    captions: list[str]

    def as_dict(self) -> dict:
        """What `python -m captioning evaluate --json` prints of a width, and checkpoints keep."""
        rounded = {name: round(value, 3) for name, value in self.metrics.items()}
        bleu = [round(value, 2) for value in self.bleu]
        return {
            "beam_size": self.beam_size,
            "bleu": bleu,
            **rounded,
            "percentiles": [round(value, 4) for value in self.percentiles],
            "seconds": round(self.seconds, 2),
        }


def evaluate(
    captioner: Captioner, examples: Sequence[Example], beam_sizes: Sequence[int], options: SearchOptions
) -> list[WidthScore]:
    """Caption examples at each beam width, once each, encoding each photo once, and score the captions.

    Raises:
        ImageError: a photo cannot be read.
    """
    beam_sizes = list(dict.fromkeys(beam_sizes))
    captions: dict[int, list[Caption]] = {width: [] for width in beam_sizes}
    seconds = dict.fromkeys(beam_sizes, 0.0)
    with ThreadPoolExecutor() as readers, tqdm(total=len(examples), desc="Captioning", unit="photo") as bar:
        for start in range(0, len(examples), CHUNK):
            chunk = examples[start : start + CHUNK]
            encoded = captioner.encode(list(readers.map(lambda example: open_image(example.photo), chunk)))
            for width in beam_sizes:
                found = captioner.describe(encoded, replace(options, beam_size=width))
                captions[width] += found
                seconds[width] += encoded.seconds + sum(caption.seconds.search for caption in found)
            bar.update(len(chunk))
    tokenizer = captioner.info.vocabulary.tokenizer
    references = [[tokenize(caption, tokenizer) for caption in example.captions] for example in examples]
    return [_score(width, captions[width], references, seconds[width]) for width in beam_sizes]


def _score(width: int, captions: list[Caption], references: list[list[list[str]]], seconds: float) -> WidthScore:
    words = [caption.text.split() for caption in captions]
    movement = [
        attention_movement(np.stack([step.attention for step in caption.steps if not step.end])) for caption in captions
    ]
    sureness = [caption.log_probability / len(caption.steps) for caption in captions]
    metrics = {
        **consensus(words, references),
        "words": float(np.mean([len(caption) for caption in words])),
        "doubled": doubled_words(words),
        "dangling": dangling_endings(words),
        "movement": float(np.mean(movement)),
        **diversity(words),
        **content_recall(words, references),
        **gender_confusions(words, references),
        "calibration": rank_correlation(sureness, cider_scores(words, references)),
    }
    percentiles = np.percentile(sureness, PERCENTILES).tolist()
    texts = [caption.text for caption in captions]
    return WidthScore(width, bleu(words, references), metrics, percentiles, seconds, texts)


def score_table(rows: Sequence[dict]) -> str:
    """Rows of `WidthScore.as_dict`, as text: a line for each score, a column for each beam width."""
    columns = [flat(row) for row in rows]
    lines = [[name, *(column[name] for column in columns)] for name in columns[0]]
    return "\n".join(f"{line[0]:<16}" + "".join(f"{value:>10}" for value in line[1:]) for line in lines)


def flat(row: dict) -> dict[str, float]:
    """A row of `WidthScore.as_dict` as one of a table: a number under each name."""
    bleu = {f"bleu{order}": value for order, value in enumerate(row["bleu"], start=1)}
    others = {name: value for name, value in row.items() if name not in ("beam_size", "bleu", "percentiles")}
    return {"beam_size": row["beam_size"], **bleu, **others}


def coco_results(examples: Sequence[Example], captions: Sequence[str]) -> list[dict]:
    """Captions in COCO's results format; `image_id` is COCO's number, or the file name in other data sets."""
    return [
        {"image_id": _image_id(example.photo), "caption": caption}
        for example, caption in zip(examples, captions, strict=True)
    ]


def _image_id(photo: Path) -> int | str:
    coco = re.fullmatch(r"(?:COCO_\w+_)?(\d{12})", photo.stem)
    return int(coco[1]) if coco else photo.name
