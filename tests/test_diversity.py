"""How varied captions are, what they name, and whether their log-probabilities say how good they are."""

import pytest

from captioning.data.datasets import read_dataset
from captioning.evaluation.diversity import FUNCTION_WORDS, content_recall, diversity, gender_confusions
from captioning.evaluation.metrics import dangling_endings
from captioning.vocabulary import tokenize


def words(*texts: str) -> list[list[str]]:
    return [text.split() for text in texts]


def test_captions_that_several_photos_have_are_shared():
    found = diversity(words("a dog runs", "a cat", "a dog runs", "a dog runs"))
    assert found == {"distinct": 2, "distinct_words": 4, "shared": 75.0}
    assert diversity(words("a dog", "a cat"))["shared"] == 0


def test_recall_counts_words_that_two_references_agree_on():
    references = [words("a dog runs on grass", "the dog jumps on grass", "an animal"), words("a zebra", "the zebra")]
    # Of dog, grass and zebra the captions name two; runs, jumps and animal are said once, and on is no content word.
    found = content_recall(words("a dog jumps", "a zebra on the grass"), references)
    assert found == {"recall_frequent": pytest.approx(100 * 2 / 3)}


def test_peoples_own_captions_name_most_of_what_others_name_and_differ(flickr8k):
    """One reference against the other four: the bands are all there, and frequent words are named more often."""
    photos = [
        [tokenize(caption) for caption in example.captions] for example in read_dataset(flickr8k).split("dev")[:300]
    ]
    captions, references = [photo[0] for photo in photos], [photo[1:] for photo in photos]
    found = content_recall(captions, references)
    assert 20 < found["recall_rare"] < found["recall_frequent"] < 90
    varied = diversity(captions)
    assert varied["distinct"] > 290
    assert varied["distinct_words"] > 500
    assert {"dog", "man", "red", "running"}.isdisjoint(FUNCTION_WORDS)


def test_a_caption_confuses_where_references_agree_and_it_says_the_other_alone():
    woman = words("a woman sits", "a lady on a bench", "somebody sits")
    both = words("a woman sits", "a man sits", "a woman on a bench")
    doubtful = words("a woman sits", "somebody sits", "a person")
    found = gender_confusions(
        words("a man sits", "a man and a woman", "a person", "a man", "a man"), [woman, woman, woman, both, doubtful]
    )
    assert found == {"women": 3, "women_called_men": 1, "men": 0, "men_called_women": 0}


@pytest.mark.parametrize(
    ("caption", "dangles"),
    [
        ("a man in a red and white", True),
        ("a girl holding a small", True),
        ("a dog with a brown", True),
        ("a man sits on the", True),
        ("a man in red and white", False),
        ("a dog that is brown", False),
        ("a man dressed in black", False),
        ("a red and white bus", False),
    ],
)
def test_adjectives_that_lack_their_noun_break_off(caption, dangles):
    assert dangling_endings([caption.split()]) == int(dangles)
