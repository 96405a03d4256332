"""Scores of generated captions against reference captions."""

import warnings
from collections.abc import Sequence

from nltk.translate.bleu_score import corpus_bleu

_WEIGHTS = [tuple([1 / n] * n) for n in range(1, 5)]


def bleu(captions: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> list[float]:
    """Corpus BLEU-1 to BLEU-4, 0 to 100, without smoothing (Papineni et al., 2002).

    Args:
        captions: one tokenized caption a photo.
        references: for each photo its tokenized reference captions.
    """
    if not any(captions):
        return [0.0] * len(_WEIGHTS)
    with warnings.catch_warnings():
        # NLTK warns where no four words in a row agree; the score of 0 says as much.
        warnings.simplefilter("ignore")
        return [100 * float(score) for score in corpus_bleu(references, captions, _WEIGHTS)]
