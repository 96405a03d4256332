"""Word vectors that others trained, for the words of a vocabulary."""

from pathlib import Path

import numpy as np

from captioning.errors import DatasetError
from captioning.vocabulary import SPECIAL_TOKENS, Vocabulary


def read_word_vectors(path: Path, vocabulary: Vocabulary, seed: int) -> tuple[np.ndarray, int]:
    """Vectors of a vocabulary's words from a text file: on each line a word and its numbers (GloVe, fastText).

    Words that the file does not have, the special tokens among them, get vectors drawn from the normal distribution
    with the mean and the standard deviation that the found vectors have in each dimension.

    Returns:
        Vectors (V, D) as float32, and how many words were found.

    Raises:
        DatasetError: the file cannot be read as word vectors, or has none of the words.
    """
    wanted = {word: index for index, word in enumerate(vocabulary.words) if index >= len(SPECIAL_TOKENS)}
    found: dict[int, np.ndarray] = {}
    size = None
    try:
        with path.open(encoding="utf-8", newline="\n") as lines:
            for number, line in enumerate(lines):
                word, *values = line.rstrip().split(" ")
                if number == 0 and len(values) == 1:
                    # fastText says first how many words there are, and how many dimensions.
                    continue
                size = size or len(values)
                if word in wanted and len(values) == size:
                    found[wanted[word]] = np.array(values, dtype=np.float32)
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"{path} cannot be read as word vectors ({error}): give a text file of GloVe or fastText."
        ) from None
    if not found:
        raise DatasetError(f"{path} has a vector for none of the vocabulary's words: give vectors of English words.")
    known = np.stack(list(found.values()))
    if not np.isfinite(known).all():
        raise DatasetError(f"{path} holds numbers that are not finite: download it again.")
    drawn = np.random.default_rng(seed).normal(known.mean(axis=0), known.std(axis=0), (len(vocabulary), known.shape[1]))
    drawn[list(found)] = known
    return drawn.astype(np.float32), len(found)
