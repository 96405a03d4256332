"""Scores against arithmetic by hand, plain rewritings of their definitions, and what the field computes them with."""

import math
import random
import shutil
import warnings
from collections import Counter

import numpy as np
import pytest
from pycocoevalcap.cider.cider import Cider

from captioning.evaluation.metrics import attention_movement, bleu, consensus, dangling_endings, doubled_words
from captioning.training.cider_reward import CiderD


def words(text: str) -> list[str]:
    return text.split()


CAPTION = words("a brown dog runs over the green grass")


def plain_bleu(captions: list[list[str]], references: list[list[list[str]]]) -> list[float]:
    """Papineni et al. (2002), equation by equation."""

    def ngrams(tokens: list[str], n: int) -> Counter:
        return Counter(tuple(tokens[start : start + n]) for start in range(len(tokens) - n + 1))

    matches, totals, length, closest = [0] * 4, [0] * 4, 0, 0
    for caption, group in zip(captions, references, strict=True):
        length += len(caption)
        closest += min((abs(len(reference) - len(caption)), len(reference)) for reference in group)[1]
        for n in range(1, 5):
            for ngram, count in ngrams(caption, n).items():
                matches[n - 1] += min(count, max(ngrams(reference, n)[ngram] for reference in group))
                totals[n - 1] += count
    brevity = 1 if length > closest else math.exp(1 - closest / length)
    precisions = [match / total for match, total in zip(matches, totals, strict=True)]
    return [100 * brevity * math.prod(precisions[:n]) ** (1 / n) for n in range(1, 5)]


def test_equals_the_value_computed_by_hand():
    # Unigrams: "the" counts twice at most of seven (the example of Papineni et al., section 2.1).
    seven = ["the"] * 7
    references = [words("the cat is on the mat"), words("there is a cat on the mat")]
    assert bleu([seven], [references])[0] == pytest.approx(100 * 2 / 7)
    # 5 of 6 words, 3 of 5 pairs, 2 of 4 triples and 1 of 3 quadruples are the reference's.
    caption, reference = words("the cat sat on the mat"), words("a cat sat on the mat today")
    shorter = math.exp(1 - 7 / 6)
    products = [5 / 6, 5 / 6 * 4 / 5, 5 / 6 * 4 / 5 * 3 / 4, 5 / 6 * 4 / 5 * 3 / 4 * 2 / 3]
    expected = [100 * shorter * product ** (1 / n) for n, product in enumerate(products, start=1)]
    assert bleu([caption], [[reference]]) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(5))
def test_equals_a_plain_corpus_bleu_on_random_captions(seed):
    draw = random.Random(seed)

    def sentence() -> list[str]:
        return draw.choices("abcdefg", weights=[9, 5, 3, 2, 1, 1, 1], k=draw.randint(4, 14))

    captions = [sentence() for _ in range(40)]
    references = [[sentence() for _ in range(draw.randint(1, 5))] for _ in captions]
    assert bleu(captions, references) == pytest.approx(plain_bleu(captions, references))


def test_a_perfect_corpus_scores_100():
    others = [words("some other words"), words("a dog")]
    assert bleu([CAPTION, CAPTION[::-1]], [[*others, CAPTION], [CAPTION[::-1], *others]]) == pytest.approx([100] * 4)


def test_the_order_of_photos_and_of_references_does_not_matter():
    captions = [CAPTION, words("a cat sits on the grass")]
    references = [[words("a dog runs over grass"), CAPTION[2:]], [words("a cat on the green grass"), CAPTION]]
    expected = bleu(captions, references)
    assert bleu(captions[::-1], references[::-1]) == pytest.approx(expected)
    assert bleu(captions, [group[::-1] for group in references]) == pytest.approx(expected)
    assert expected == sorted(expected, reverse=True)


def test_nothing_in_common_scores_0_and_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bleu([CAPTION], [[words("two cats sleep")]]) == [0] * 4
        # Words in common, but no two in a row.
        backwards = bleu([CAPTION[::-1]], [[CAPTION]])
    assert backwards == pytest.approx([100, 0, 0, 0], abs=1e-6)


def test_empty_captions_score_0_and_lower_the_score_of_the_corpus():
    assert bleu([[], []], [[CAPTION], [CAPTION]]) == [0] * 4
    assert all(0 < score < 50 for score in bleu([CAPTION, []], [[CAPTION], [CAPTION]]))


def test_brevity_is_penalised_against_the_reference_of_the_closest_length():
    short, long = CAPTION[:6], CAPTION + CAPTION
    assert bleu([short], [[CAPTION]])[0] == pytest.approx(100 * math.exp(1 - 8 / 6))
    assert bleu([short], [[CAPTION, CAPTION[:7]]])[0] == pytest.approx(100 * math.exp(1 - 7 / 6))
    assert bleu([long], [[CAPTION]])[0] == pytest.approx(50)


def random_corpus(seed: int, photos: int = 12) -> tuple[list[list[str]], list[list[list[str]]]]:
    draw = random.Random(seed)

    def sentence() -> list[str]:
        return draw.choices("abcdefghij", weights=[9, 7, 5, 3, 2, 1, 1, 1, 1, 1], k=draw.randint(1, 12))

    return [sentence() for _ in range(photos)], [[sentence() for _ in range(5)] for _ in range(photos)]


@pytest.mark.parametrize("seed", range(5))
def test_the_reward_is_the_cider_of_the_coco_evaluation(seed):
    captions, references = random_corpus(seed)
    reward = CiderD(references)
    found = [reward.score(photo, caption) for photo, caption in enumerate(captions)]
    _, expected = Cider().compute_score(
        {photo: [" ".join(caption) for caption in group] for photo, group in enumerate(references)},
        {photo: [" ".join(caption)] for photo, caption in enumerate(captions)},
    )
    assert found == pytest.approx(list(expected), abs=1e-9)
    assert max(found) > 0


def test_the_reward_of_words_that_no_reference_has_is_nothing():
    reward = CiderD([[words("a dog runs")], [words("a man sits")]])
    assert reward.score(0, words("two cats sleep")) == 0
    assert reward.score(0, []) == 0
    assert reward.score(0, words("a dog runs")) > reward.score(1, words("a dog runs"))


def test_consensus_scores_are_highest_for_the_references_themselves(monkeypatch):
    # METEOR needs Java, which starts slowly.
    monkeypatch.setenv("PATH", "")
    captions, references = random_corpus(0)
    own = consensus([group[0] for group in references], references)
    other = consensus(captions, references)
    assert own.keys() == {"cider", "rouge_l"}
    assert own["rouge_l"] == pytest.approx(100)
    assert all(own[name] > other[name] for name in own)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("java") is None, reason="there is no Java on this machine")
def test_meteor_is_scored_where_java_is_found():
    captions, references = random_corpus(0)
    first = consensus(captions, references)["meteor"]
    assert 0 < first < 100
    # One process scores what comes one after the other.
    others = consensus(*random_corpus(1))["meteor"]
    assert others != first
    assert consensus(captions, references)["meteor"] == first


def test_meteor_is_left_out_where_what_is_called_java_does_not_run(monkeypatch, tmp_path):
    stub = tmp_path / "java"
    stub.write_text("#!/bin/sh\nexit 1\n")
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    captions, references = random_corpus(0)
    assert consensus(captions, references).keys() == {"cider", "rouge_l"}


def test_doubled_words_and_dangling_endings_are_counted_by_the_caption():
    captions = [words(text) for text in ("a dog dog runs runs", "a dog runs", "a man in a", "the", "")]
    assert doubled_words(captions) == 1
    assert dangling_endings(captions) == 2


def test_attention_movement_is_the_total_variation_between_neighbours():
    still, apart = np.full((3, 2, 2), 0.25), np.eye(4).reshape(4, 2, 2)
    assert attention_movement(still) == 0
    assert attention_movement(apart) == 1
    assert attention_movement(np.stack([apart[0], still[0], apart[0]])) == pytest.approx(0.75)
    assert attention_movement(apart[:1]) == 0
