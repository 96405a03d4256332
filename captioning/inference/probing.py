"""What each word of a caption depends on: how much less likely it becomes when a place of the photo is hidden.

This is the occlusion sensitivity of Zeiler and Fergus, 2014 (section 4.2), for words in place of classes.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import Image

from captioning.hiding import HIDDEN_GRAY
from captioning.inference.backend import Backend, EncodedPhoto
from captioning.inference.caption import Caption
from captioning.inference.captioner import Captioner
from captioning.rank_correlation import rank_correlation
from captioning.vocabulary import START

# The photo is hidden place by place: SIDE × SIDE of them.
SIDE = 8
# Photos that are encoded together, so that few are in memory.
BATCH_SIZE = 4
# Batches at the same time: a word of one photo is scored by one core.
THREADS = 2


@dataclass(frozen=True, eq=False)
class Occlusion:
    """What hiding each place does to each of T words.

    Attributes:
        drops: (T, SIDE, SIDE) float32, by how much a word's log-probability falls, in nats; negative where it rises.
        agreement: Spearman's rank correlation between a word's attention and its drops, the mean over the words.
    """

    drops: np.ndarray
    agreement: float


def probe(captioner: Captioner, photo: Image.Image, caption: Caption) -> Occlusion:
    """Hide each place of a photo in turn, and score the words of its caption again.

    Args:
        captioner: the model.
        photo: RGB, as it was captioned.
        caption: what the model said of it.
    """
    pixels = captioner.pixels(photo)
    tokens = captioner.info.vocabulary.encode(step.word for step in caption.steps)[1:-1]

    def score(places: range) -> np.ndarray:
        hidden = np.stack([hide_place(pixels, place) for place in places])
        return score_words(captioner.backend, captioner.backend.encode(hidden), tokens)

    with ThreadPoolExecutor(THREADS) as threads:
        batches = [range(SIDE**2)[start : start + BATCH_SIZE] for start in range(0, SIDE**2, BATCH_SIZE)]
        scores = np.concatenate(list(threads.map(score, batches)))
    said = np.log([step.probability for step in caption.steps])
    drops = (said - scores).T.reshape(-1, SIDE, SIDE).astype(np.float32)
    return Occlusion(drops, _agreement([step.attention for step in caption.steps], drops))


def hide_place(pixels: np.ndarray, place: int) -> np.ndarray:
    """Pixels (3, S, S) with one of the SIDE × SIDE places gray; places count row by row."""
    edges = np.linspace(0, pixels.shape[-1], SIDE + 1).round().astype(int)
    row, column = divmod(place, SIDE)
    hidden = pixels.copy()
    hidden[:, edges[row] : edges[row + 1], edges[column] : edges[column + 1]] = HIDDEN_GRAY
    return hidden


def score_words(backend: Backend, photos: Sequence[EncodedPhoto], tokens: Sequence[int]) -> np.ndarray:
    """Log-probabilities (N, T) of a caption's T tokens, given each of N photos and the tokens before."""
    count, states = len(photos), [photo.state for photo in photos]
    parents, scores = [np.array([0])] * count, []
    for before, token in pairwise([START, *tokens]):
        read, wanted = [np.array([before])] * count, [np.array([[token]])] * count
        found = backend.step(photos, states, parents, read, wanted, count=1)
        states = found.states
        scores.append(found.wanted[:, 0])
    return np.stack(scores, axis=1)


def _agreement(attention: Sequence[np.ndarray], drops: np.ndarray) -> float:
    resampled = [Image.fromarray(each).resize((SIDE, SIDE), Image.Resampling.BILINEAR) for each in attention]
    return float(np.mean([rank_correlation(*pair) for pair in zip(map(np.asarray, resampled), drops, strict=True)]))
