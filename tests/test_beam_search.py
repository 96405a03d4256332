"""The batched beam search against plain ones."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from captioning.inference.beam_search import BeamSearch, beam_search
from captioning.inference.beam_tree import Fate, build_tree
from captioning.inference.options import SearchOptions
from captioning.inference.trace import Hypothesis
from captioning.model.decoder import AttentionDecoder, speakable_log_probabilities
from captioning.vocabulary import END, NEVER_GENERATED, PAD, START, UNK
from tests.helpers import decoder_backend, random_decoder
from tests.plain_search import exhaustive_search, plain_beam_search

CHANNELS, CELLS = 6, 4


def willing_decoder(vocabulary_size: int, seed: int) -> AttentionDecoder:
    """A random decoder that likes to end, for captions of many lengths."""
    decoder = random_decoder(vocabulary_size, seed)
    with torch.no_grad():
        decoder.output.bias[END] = 1.0
    return decoder


def search(
    decoder: AttentionDecoder,
    features: torch.Tensor,
    options: SearchOptions,
    prefixes: Sequence[Sequence[int]] | None = None,
    once: Sequence[bool] = (),
) -> list[list[Hypothesis]]:
    backend = decoder_backend(decoder)
    return beam_search(backend, backend.start(features), options, prefixes, once)


@pytest.mark.parametrize("beam_size", [1, 2, 3, 5, 10])
@pytest.mark.parametrize("seed", range(5))
def test_equals_plain_search_hypothesis_for_hypothesis(beam_size, seed):
    decoder = willing_decoder(30, seed)
    features = torch.randn(7, CELLS, CHANNELS)
    options = SearchOptions(beam_size=beam_size, max_steps=12)
    for photo, found in zip(features, search(decoder, features, options), strict=True):
        expected = plain_beam_search(decoder, photo, options)
        assert [hypothesis.tokens for hypothesis in found] == [tokens for tokens, _ in expected]
        np.testing.assert_allclose([h.log_probability for h in found], [total for _, total in expected], rtol=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_equals_exhaustive_search_when_nothing_needs_pruning(seed):
    decoder = willing_decoder(7, seed)
    features = torch.randn(2, CELLS, CHANNELS)
    options = SearchOptions(beam_size=400, max_steps=4)
    for photo, found in zip(features, search(decoder, features, options), strict=True):
        expected = exhaustive_search(decoder, photo, options)
        assert [hypothesis.tokens for hypothesis in found] == [tokens for tokens, _ in expected]
        # All captions together are certain.
        assert sum(np.exp(hypothesis.log_probability) for hypothesis in found) == pytest.approx(1, abs=1e-4)


def test_every_hypothesis_accounts_for_itself():
    decoder = willing_decoder(30, 0)
    options = SearchOptions(beam_size=4, max_steps=9)
    for found in search(decoder, torch.randn(5, CELLS, CHANNELS), options):
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


def test_attention_and_probabilities_are_those_of_the_decoder_that_says_the_caption():
    decoder = willing_decoder(30, 5).eval()
    features = torch.randn(4, CELLS, CHANNELS)
    for photo, found in zip(features, search(decoder, features, SearchOptions(beam_size=5)), strict=True):
        for hypothesis in found:
            memory, state = decoder.start(photo.unsqueeze(0), 1)
            before = [START, *hypothesis.tokens[:-1]]
            for step, (last, token) in enumerate(zip(before, hypothesis.tokens, strict=True)):
                with torch.no_grad():
                    attended = decoder.attend(memory, state)
                    state = decoder.advance(attended, torch.tensor([[last]]))
                    logits = decoder.predict(state.hidden)
                np.testing.assert_allclose(hypothesis.attention[step], attended.attention[0, 0], rtol=1e-4, atol=1e-6)
                values = speakable_log_probabilities(logits, torch.tensor([[last]]))[0, 0]
                assert hypothesis.token_log_probabilities[step] == pytest.approx(float(values[token]), abs=1e-4)


def test_comes_back_with_unfinished_hypotheses_when_none_can_end():
    decoder = willing_decoder(30, 1)
    with torch.no_grad():
        decoder.output.bias[END] = -1e4
    for found in search(decoder, torch.randn(3, CELLS, CHANNELS), SearchOptions(beam_size=3, max_steps=6)):
        assert [len(hypothesis.tokens) for hypothesis in found] == [6, 6, 6]
        assert all(END not in hypothesis.tokens for hypothesis in found)


def test_a_caption_has_at_least_one_word():
    decoder = willing_decoder(30, 2)
    with torch.no_grad():
        decoder.output.bias[END] = 1e4
    for found in search(decoder, torch.randn(3, CELLS, CHANNELS), SearchOptions(beam_size=3)):
        assert [len(hypothesis.tokens) for hypothesis in found] == [2, 2, 2]


def test_a_batch_gives_what_its_members_give_alone():
    decoder = willing_decoder(30, 3)
    features = torch.randn(6, CELLS, CHANNELS)
    options = SearchOptions(beam_size=4, max_steps=12)
    alone = [search(decoder, photo.unsqueeze(0), options)[0] for photo in features]
    for together, single in zip(search(decoder, features, options), alone, strict=True):
        assert [h.tokens for h in together] == [h.tokens for h in single]
        for one, other in zip(together, single, strict=True):
            np.testing.assert_allclose(one.attention, other.attention, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("beam_size", [1, 3, 10])
@pytest.mark.parametrize("seed", range(3))
def test_a_search_from_prefixes_equals_plain_search_and_says_them(beam_size, seed):
    decoder = willing_decoder(30, seed)
    prefixes = [[], [7], [4, 29, 4], [9, END], [5, 6, 7, 8, 9, 10, 11, 12]]
    features = torch.randn(len(prefixes), CELLS, CHANNELS)
    options = SearchOptions(beam_size=beam_size, max_steps=8)
    results = search(decoder, features, options, prefixes)
    for photo, prefix, found in zip(features, prefixes, results, strict=True):
        expected = plain_beam_search(decoder, photo, options, prefix)
        assert [hypothesis.tokens for hypothesis in found] == [tokens for tokens, _ in expected]
        np.testing.assert_allclose([h.log_probability for h in found], [total for _, total in expected], rtol=1e-4)
        for hypothesis in found:
            assert hypothesis.tokens[: len(prefix)] == prefix
            assert hypothesis.log_probability == pytest.approx(hypothesis.token_log_probabilities.sum(), rel=1e-4)


def test_the_beginning_of_a_greedy_caption_leads_to_the_same_caption():
    decoder = willing_decoder(30, 4)
    features = torch.randn(1, CELLS, CHANNELS)
    options = SearchOptions(beam_size=1, max_steps=12)
    [[caption]] = search(decoder, features, options)
    for length in range(len(caption.tokens) + 1):
        [[again]] = search(decoder, features, options, [caption.tokens[:length]])
        assert again.tokens == caption.tokens
        assert again.log_probability == pytest.approx(caption.log_probability, rel=1e-5)
        np.testing.assert_allclose(again.attention, caption.attention, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("prefix", [[END], [5, END, 6], [UNK], [5, PAD], [5, 5], [5] * 13])
def test_a_prefix_that_no_caption_can_begin_with_is_refused(prefix):
    with pytest.raises(ValueError, match="prefix"):
        search(
            willing_decoder(30, 0),
            torch.randn(1, CELLS, CHANNELS),
            SearchOptions(max_steps=12),
            [prefix],
        )


@pytest.mark.parametrize("beam_size", [1, 2, 5])
@pytest.mark.parametrize("seed", range(3))
def test_the_tree_tells_how_the_search_went(beam_size, seed):
    decoder = willing_decoder(30, seed)
    words = [str(token) for token in range(30)]
    options = SearchOptions(beam_size=beam_size, max_steps=9)
    features = torch.randn(3, CELLS, CHANNELS)
    backend = decoder_backend(decoder)
    trace = BeamSearch(backend, backend.start(features), replace(options, keep_tree=True)).run()
    for photo, found in enumerate(search(decoder, features, options)):
        tree = build_tree(trace, photo, words)
        by_prefix = {
            tree.prefix(step, index): candidate
            for step, candidates in enumerate(tree.steps)
            for index, candidate in enumerate(candidates)
        }
        finals = {prefix: candidate for prefix, candidate in by_prefix.items() if candidate.final}
        expected = {tuple(map(str, hypothesis.tokens)): hypothesis for hypothesis in found}
        assert finals.keys() == expected.keys()
        for prefix, candidate in finals.items():
            assert candidate.score == pytest.approx(expected[prefix].score, rel=1e-5)
        best = tuple(map(str, found[0].tokens))
        for prefix, candidate in by_prefix.items():
            assert (candidate.fate == Fate.WON) == (best[: len(prefix)] == prefix)
            ends_well = any(final[: len(prefix)] == prefix for final in finals)
            assert (candidate.fate in (Fate.WON, Fate.FINISHED)) == ends_well
            continued = any(other[:-1] == prefix for other in by_prefix)
            if candidate.fate == Fate.DROPPED:
                assert not continued
            parent = by_prefix[prefix[:-1]].log_probability if len(prefix) > 1 else 0.0
            assert candidate.log_probability == pytest.approx(parent + np.log(candidate.probability), rel=1e-4)
        for candidates in tree.steps:
            kept = [candidate.log_probability for candidate in candidates if candidate.fate != Fate.DROPPED]
            missed = [candidate.log_probability for candidate in candidates if candidate.fate == Fate.DROPPED]
            assert 1 <= len(kept) <= beam_size
            assert missed
            assert min(kept) >= max(missed)


@pytest.mark.parametrize("beam_size", [1, 3])
def test_no_word_is_said_twice_in_a_row(beam_size):
    decoder = willing_decoder(30, 4)
    with torch.no_grad():
        # A decoder that would say one word for ever.
        decoder.output.bias[7] += 50
    for found in search(decoder, torch.randn(3, CELLS, CHANNELS), SearchOptions(beam_size=beam_size)):
        for hypothesis in found:
            assert 7 in hypothesis.tokens
            assert all(first != second for first, second in pairwise(hypothesis.tokens))


@pytest.mark.parametrize("prefix", [[], [7, 8, 7]], ids=["free", "prefix"])
@pytest.mark.parametrize("beam_size", [1, 3, 10])
@pytest.mark.parametrize("seed", range(3))
def test_words_that_are_said_once_are_passed_over_after_that(beam_size, seed, prefix):
    """As in a plain search, whatever the rows have said; a prefix may repeat them, and the rest may not."""
    decoder = random_decoder(30, seed)
    with torch.no_grad():
        # A decoder that would say four words over and over.
        decoder.output.bias[6:10] += 5
    features, options = torch.randn(3, CELLS, CHANNELS), SearchOptions(beam_size=beam_size, max_steps=12)
    once = [token % 3 != 0 for token in range(30)]
    found = search(decoder, features, options, [prefix] * 3, once)
    for photo, hypotheses in zip(features, found, strict=True):
        expected = plain_beam_search(decoder, photo, options, prefix, [*np.flatnonzero(once)])
        assert [hypothesis.tokens for hypothesis in hypotheses] == [tokens for tokens, _ in expected]
        for hypothesis in hypotheses:
            said = [token for token in hypothesis.tokens[len(prefix) :] if once[token]]
            assert len(said) == len(set(said) - set(prefix))
    repeating = [hypothesis for each in found for hypothesis in each if max(map(hypothesis.tokens.count, (6, 9))) > 1]
    assert repeating
    assert any(hypothesis.tokens != free.tokens for [free, *_], [hypothesis, *_]
               in zip(search(decoder, features, options, [prefix] * 3), found, strict=True))  # fmt: skip


def test_a_search_in_reduced_precision_gives_full_precision_results():
    features = torch.randn(2, CELLS, CHANNELS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for found in search(willing_decoder(30, 5), features, SearchOptions(beam_size=3)):
            assert found[0].attention.dtype == found[0].token_log_probabilities.dtype == np.float32
            assert found[0].attention.sum(axis=1) == pytest.approx(1, abs=0.02)
