"""The batched beam search against plain ones."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from captioning.inference.beam_search import NEVER_GENERATED, SearchOptions, beam_search
from captioning.model.decoder import AttentionDecoder
from captioning.vocabulary import END
from tests.helpers import random_decoder
from tests.plain_search import exhaustive_search, plain_beam_search

CHANNELS, CELLS = 6, 4


def willing_decoder(vocabulary_size: int, seed: int) -> AttentionDecoder:
    """A random decoder that likes to end, for captions of many lengths."""
    decoder = random_decoder(vocabulary_size, seed)
    with torch.no_grad():
        decoder.output.bias[END] = 1.0
    return decoder


@pytest.mark.parametrize("beam_size", [1, 2, 3, 5, 10])
@pytest.mark.parametrize("seed", range(5))
def test_equals_plain_search_hypothesis_for_hypothesis(beam_size, seed):
    decoder = willing_decoder(30, seed)
    features = torch.randn(7, CELLS, CHANNELS)
    options = SearchOptions(beam_size=beam_size, max_steps=12)
    for photo, found in zip(features, beam_search(decoder, features, options), strict=True):
        expected = plain_beam_search(decoder, photo, options)
        assert [hypothesis.tokens for hypothesis in found] == [tokens for tokens, _ in expected]
        np.testing.assert_allclose([h.log_probability for h in found], [total for _, total in expected], rtol=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_equals_exhaustive_search_when_nothing_needs_pruning(seed):
    decoder = willing_decoder(7, seed)
    features = torch.randn(2, CELLS, CHANNELS)
    options = SearchOptions(beam_size=400, max_steps=4)
    for photo, found in zip(features, beam_search(decoder, features, options), strict=True):
        expected = exhaustive_search(decoder, photo, options)
        assert [hypothesis.tokens for hypothesis in found] == [tokens for tokens, _ in expected]
        # All captions together are certain.
        assert sum(np.exp(hypothesis.log_probability) for hypothesis in found) == pytest.approx(1, abs=1e-4)


def test_every_hypothesis_accounts_for_itself():
    decoder = willing_decoder(30, 0)
    options = SearchOptions(beam_size=4, max_steps=9)
    for found in beam_search(decoder, torch.randn(5, CELLS, CHANNELS), options):
        assert len(found) == options.beam_size
        assert all(first.score >= second.score for first, second in pairwise(found))
        for hypothesis in found:
            length = len(hypothesis.tokens)
            assert hypothesis.log_probability == pytest.approx(hypothesis.token_log_probabilities.sum(), rel=1e-4)
            assert hypothesis.score == pytest.approx(hypothesis.log_probability / length**options.length_penalty)
            assert hypothesis.attention.shape == (length, CELLS)
            np.testing.assert_allclose(hypothesis.attention.sum(axis=1), 1, rtol=1e-5)
            assert hypothesis.alternative_tokens.shape == (length, options.alternatives)
            assert END not in hypothesis.tokens[:-1]
            assert not set(NEVER_GENERATED) & set(hypothesis.tokens)
            for token, value, tokens, values in zip(
                hypothesis.tokens,
                hypothesis.token_log_probabilities,
                hypothesis.alternative_tokens.tolist(),
                hypothesis.alternative_log_probabilities,
                strict=True,
            ):
                assert (np.diff(values) <= 0).all()
                if token in tokens:
                    assert value == pytest.approx(values[tokens.index(token)], rel=1e-5)
                else:
                    assert value <= values[-1]


def test_comes_back_with_unfinished_hypotheses_when_none_can_end():
    decoder = willing_decoder(30, 1)
    with torch.no_grad():
        decoder.output.bias[END] = -1e4
    for found in beam_search(decoder, torch.randn(3, CELLS, CHANNELS), SearchOptions(beam_size=3, max_steps=6)):
        assert [len(hypothesis.tokens) for hypothesis in found] == [6, 6, 6]
        assert all(END not in hypothesis.tokens for hypothesis in found)


def test_a_caption_has_at_least_one_word():
    decoder = willing_decoder(30, 2)
    with torch.no_grad():
        decoder.output.bias[END] = 1e4
    for found in beam_search(decoder, torch.randn(3, CELLS, CHANNELS), SearchOptions(beam_size=3)):
        assert [len(hypothesis.tokens) for hypothesis in found] == [2, 2, 2]


def test_a_batch_gives_what_its_members_give_alone():
    decoder = willing_decoder(30, 3)
    features = torch.randn(6, CELLS, CHANNELS)
    options = SearchOptions(beam_size=4, max_steps=12)
    alone = [beam_search(decoder, photo.unsqueeze(0), options)[0] for photo in features]
    for together, single in zip(beam_search(decoder, features, options), alone, strict=True):
        assert [h.tokens for h in together] == [h.tokens for h in single]
        for one, other in zip(together, single, strict=True):
            np.testing.assert_allclose(one.attention, other.attention, rtol=1e-4, atol=1e-6)
