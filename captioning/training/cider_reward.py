"""CIDEr-D with document frequencies that are counted once: the reward of self-critical training."""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import NamedTuple

MAX_ORDER = 4
# Spread of the penalty on a caption's length.
SIGMA = 6.0

Tokens = Sequence[Hashable]


class _Vector(NamedTuple):
    """A caption's n-grams, weighted by TF-IDF, with the norm of each order's part, and its length in tokens."""

    weights: list[dict[tuple, float]]
    norms: list[float]
    length: int


class CiderD:
    """Consensus of a caption with a photo's references (Vedantam et al., 2015, section 5, CIDEr-D).

    N-grams weigh the less, the more photos' references hold them.

    Args:
        references: for each photo its tokenized captions; they give the document frequencies.
    """

    def __init__(self, references: Sequence[Sequence[Tokens]]):
        frequencies = Counter(
            ngram for captions in references for ngram in {ngram for caption in captions for ngram in _ngrams(caption)}
        )
        photos = math.log(max(len(references), 1))
        self._idf = {ngram: photos - math.log(count) for ngram, count in frequencies.items()}
        self._unseen = photos
        self._references = [[self._vector(caption) for caption in captions] for captions in references]

    def score(self, photo: int, caption: Tokens) -> float:
        """CIDEr-D of a tokenized caption of the photo at this place: 0 where nothing agrees, 10 at the most."""
        candidate = self._vector(caption)
        references = self._references[photo]
        return 10 * sum(_similarity(candidate, reference) for reference in references) / len(references)

    def _vector(self, caption: Tokens) -> _Vector:
        weights: list[dict[tuple, float]] = [{} for _ in range(MAX_ORDER)]
        for ngram, count in Counter(_ngrams(caption)).items():
            weights[len(ngram) - 1][ngram] = count * self._idf.get(ngram, self._unseen)
        norms = [math.sqrt(sum(weight * weight for weight in order.values())) for order in weights]
        return _Vector(weights, norms, len(caption))


def _ngrams(caption: Tokens) -> list[tuple]:
    caption = tuple(caption)
    return [
        caption[start : start + order] for order in range(1, MAX_ORDER + 1) for start in range(len(caption) - order + 1)
    ]


def _similarity(candidate: _Vector, reference: _Vector) -> float:
    total = 0.0
    for order in range(MAX_ORDER):
        norm = candidate.norms[order] * reference.norms[order]
        if norm:
            weights = reference.weights[order]
            shared = (
                min(weight, weights[ngram]) * weights[ngram]
                for ngram, weight in candidate.weights[order].items()
                if ngram in weights
            )
            total += sum(shared) / norm
    difference = candidate.length - reference.length
    return math.exp(-(difference**2) / (2 * SIGMA**2)) * total / MAX_ORDER
