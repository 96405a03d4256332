"""Word vectors are read from files as people have them, and drawn for the other words."""

import numpy as np
import pytest

from captioning.data.word_vectors import read_word_vectors
from captioning.errors import DatasetError
from captioning.vocabulary import SPECIAL_TOKENS, Vocabulary
from tests.conftest import ROOT
from tests.helpers import refused


def test_real_glove_vectors_are_found_and_the_rest_drawn_alike():
    path = ROOT.parent / "shared" / "word_vectors" / "glove.100d.flickr8k-words.txt"
    if not path.is_file():
        pytest.skip(f"there are no word vectors in {path}")
    lines = dict(line.split(" ", 1) for line in path.read_text().splitlines()[:500])
    vocabulary = Vocabulary([*SPECIAL_TOKENS, *lines, *(f"unheardof{index}" for index in range(500))])
    vectors, found = read_word_vectors(path, vocabulary, seed=0)
    assert vectors.shape == (len(vocabulary), 100)
    assert vectors.dtype == np.float32
    assert found == len(lines)
    for index, numbers in enumerate(lines.values(), start=len(SPECIAL_TOKENS)):
        assert vectors[index].tolist() == pytest.approx([float(number) for number in numbers.split()])
    known, drawn = np.split(vectors[len(SPECIAL_TOKENS) :], [len(lines)])
    assert np.abs(known.mean(axis=0) - drawn.mean(axis=0)).max() < 0.2
    assert drawn.std(axis=0) == pytest.approx(known.std(axis=0), rel=0.2)


def test_the_first_line_of_a_fasttext_file_is_no_word(tmp_path):
    path = tmp_path / "vectors.vec"
    path.write_text("2 3\ndog 1 2 3 \n2 4 5 6 \n")
    vectors, found = read_word_vectors(path, Vocabulary([*SPECIAL_TOKENS, "2", "dog"]), seed=0)
    assert found == 2
    assert vectors[len(SPECIAL_TOKENS) :].tolist() == [[4, 5, 6], [1, 2, 3]]


@pytest.mark.parametrize("content", [b"", b"dog one two", b"\xff\xfe\x00", b"cat 1 2 3", b"dog nan 1"])
def test_what_is_no_file_of_word_vectors_is_refused(tmp_path, content):
    path = tmp_path / "vectors.txt"
    path.write_bytes(content)
    with refused(DatasetError, "vectors.txt"):
        read_word_vectors(path, Vocabulary([*SPECIAL_TOKENS, "dog"]), seed=0)
