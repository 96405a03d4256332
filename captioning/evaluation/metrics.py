"""Scores of generated captions against reference captions, and of captions by themselves."""

import atexit
import contextlib
import math
import shutil
import warnings
from collections.abc import Collection, Sequence
from functools import cache
from itertools import dropwhile, pairwise
from typing import Any

import numpy as np
from nltk.translate.bleu_score import corpus_bleu

_WEIGHTS = [tuple([1 / n] * n) for n in range(1, 5)]

# Words with which no English sentence of this kind ends. An adjective may end a sentence, but not a noun phrase.
_DANGLING = frozenset("a an the and or of at to with for from into onto is are was were its his her their".split())
_ARTICLES = frozenset("a an the his her its their".split())
_ADJECTIVES = frozenset(
    "red white black blue green yellow brown gray grey pink purple tan blond blonde colorful large small big "
    "little tall long short young old wooden dark bright empty busy grassy rocky snowy sandy wet dirty".split()
)

Captions = Sequence[Sequence[str]]
References = Sequence[Sequence[Sequence[str]]]


def bleu(captions: Captions, references: References) -> list[float]:
    """Corpus BLEU-1 to BLEU-4, 0 to 100, without smoothing (Papineni et al., 2002).

    Args:
        captions: one tokenized caption a photo.
        references: for each photo its tokenized reference captions.
    """
    if not any(captions):
        return [0.0] * len(_WEIGHTS)
    with warnings.catch_warnings():
        # NLTK warns where no 4-gram agrees; the score is 0 then.
        warnings.simplefilter("ignore")
        scores: Any = corpus_bleu(references, captions, _WEIGHTS)
    return [100 * float(score) for score in scores]


def cider(captions: Captions, references: References) -> float:
    """CIDEr times 100, with document frequencies of these references (Vedantam et al., 2015).

    Args:
        captions, references: as for `bleu`.
    """
    return float(100 * cider_scores(captions, references).mean())


def cider_scores(captions: Captions, references: References) -> np.ndarray:
    """CIDEr of each caption (photos,), 1 where `cider` says 100."""
    from pycocoevalcap.cider.cider import Cider

    return Cider().compute_score(*_as_texts(captions, references))[1]


def consensus(captions: Captions, references: References) -> dict[str, float]:
    """CIDEr, ROUGE-L and, where Java is found, METEOR, each times 100, as the COCO evaluation computes them.

    Args:
        captions, references: as for `bleu`.
    """
    from pycocoevalcap.rouge.rouge import Rouge

    wanted, found = _as_texts(captions, references)
    scores = {
        "cider": cider(captions, references),
        "rouge_l": 100 * float(Rouge().compute_score(wanted, found)[0]),
    }
    java = shutil.which("java")
    return scores | _meteor(java, wanted, found) if java else scores


def geometric_mean(scores: Collection[float]) -> float:
    """The mean that one percent more of any score raises alike; 0 where a score is 0."""
    return math.prod(scores) ** (1 / len(scores))


def _as_texts(captions: Captions, references: References) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    """References and captions as the COCO evaluation reads them."""
    wanted = {index: [" ".join(caption) for caption in photo] for index, photo in enumerate(references)}
    return wanted, {index: [" ".join(caption)] for index, caption in enumerate(captions)}


def _meteor(java: str, wanted: dict[int, list[str]], found: dict[int, list[str]]) -> dict[str, float]:
    """METEOR, or nothing where Java does not run."""
    scorer = _meteor_scorer(java)
    try:
        return {"meteor": 100 * float(scorer.compute_score(wanted, found)[0])}
    except BaseException as error:
        _meteor_scorer.cache_clear()
        # It leaves its lock held, and would wait for itself when it is destroyed.
        scorer.meteor_p.kill()
        with contextlib.suppress(OSError):
            scorer.meteor_p.stdin.close()
        if scorer.lock.locked():
            scorer.lock.release()
        if isinstance(error, OSError | ValueError):
            return {}
        raise


@cache
def _meteor_scorer(java: str) -> Any:
    """The process that computes METEOR; one for all scores, for it takes seconds to begin."""
    from pycocoevalcap.meteor.meteor import Meteor

    # It ends its process when it is destroyed, which must be while there is a Python.
    atexit.register(_meteor_scorer.cache_clear)
    return Meteor()


def doubled_words(captions: Captions) -> int:
    """How many captions say a word twice in a row."""
    return sum(any(first == second for first, second in pairwise(words)) for words in captions)


def dangling_endings(captions: Captions) -> int:
    """How many captions break off: they end with a word that wants another after it, or with an adjective and no noun.

    "A girl in a red and white" breaks off, "a girl in red and white" does not.
    """
    return sum(bool(words) and (words[-1] in _DANGLING or _lacks_noun(words)) for words in captions)


def _lacks_noun(words: Sequence[str]) -> bool:
    if words[-1] not in _ADJECTIVES:
        return False
    before = list(dropwhile(lambda word: word in _ADJECTIVES or word == "and", reversed(words)))
    return bool(before) and before[0] in _ARTICLES


def attention_movement(maps: np.ndarray) -> float:
    """Mean total-variation distance between the maps (T, L or rows × columns) of consecutive words.

    0 where all maps are the same, 1 where none overlaps the next; 0 for a single map.
    """
    flat = maps.reshape(len(maps), -1)
    return float(np.abs(np.diff(flat, axis=0)).sum(axis=1).mean() / 2) if len(maps) > 1 else 0.0
