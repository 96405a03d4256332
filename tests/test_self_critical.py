"""Sampling, and what its samples are compared with."""

import pytest
import torch

from captioning.training.self_critical import MAX_STEPS, advantages, sample
from captioning.vocabulary import END, NEVER_GENERATED, PAD, START
from tests.helpers import random_decoder

WORDS = 9


@pytest.fixture
def decoder():
    return random_decoder(WORDS)


def test_samples_are_captions(decoder):
    features = torch.randn(6, 4, 6, generator=torch.manual_seed(0))
    tokens, log_probabilities = sample(decoder, features, 5)
    assert tokens.shape == log_probabilities.shape
    assert tokens.shape[:2] == (6, 5)
    assert tokens.shape[2] <= MAX_STEPS
    for row in tokens.flatten(0, 1).tolist():
        length = row.index(END) + 1 if END in row else len(row)
        assert set(row[length:]) <= {PAD}
        assert not set(row[:length]) & set(NEVER_GENERATED)
        assert row[0] != END
    assert (log_probabilities[tokens == PAD] == 0).all()
    assert len({tuple(row) for row in tokens.flatten(0, 1).tolist()}) > 5


def test_the_log_probabilities_are_those_of_reading_the_samples(decoder):
    features = torch.randn(4, 4, 6, generator=torch.manual_seed(1))
    tokens, found = sample(decoder, features, 3)
    memory, state = decoder.start(features, 3)
    before = torch.full((4, 3), START)
    for step in range(tokens.shape[2]):
        state = decoder.advance(decoder.attend(memory, state), before)
        last, before = before, tokens[:, :, step]
        logits = decoder.predict(state.hidden).scatter(-1, last.unsqueeze(-1), -torch.inf)
        logits[..., [*NEVER_GENERATED, *([END] if step == 0 else [])]] = -torch.inf
        expected = logits.log_softmax(dim=-1).gather(-1, before.unsqueeze(-1)).squeeze(-1)
        said = before != PAD
        torch.testing.assert_close(found[:, :, step][said], expected[said], rtol=1e-4, atol=1e-5)


def test_frequencies_of_samples_are_the_probabilities(decoder):
    features = torch.randn(1, 4, 6, generator=torch.manual_seed(2))
    torch.manual_seed(0)
    tokens, values = sample(decoder, features, 20_000)
    first = tokens[0, :, 0]
    for word in first.unique():
        drawn = first == word
        assert drawn.float().mean() == pytest.approx(float(values[0, :, 0][drawn][0].detach().exp()), abs=0.02)


def test_learning_from_samples_makes_rewarded_words_likelier(decoder):
    features = torch.randn(8, 4, 6, generator=torch.manual_seed(3))
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=0.03)

    def first_words() -> torch.Tensor:
        with torch.no_grad():
            return sample(decoder, features, 50)[0][:, :, 0].flatten().bincount(minlength=WORDS) / 400

    before = first_words()
    rare = int(before[START + 3 :].argmin()) + START + 3
    for _ in range(30):
        tokens, log_probabilities = sample(decoder, features, 8)
        rewards = (tokens[:, :, 0] == rare).float()
        (-(advantages(rewards).unsqueeze(-1) * log_probabilities).sum() / (tokens != PAD).sum()).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert first_words()[rare] > before[rare] + 0.2


def test_each_sample_is_compared_with_the_mean_of_the_others():
    rewards = torch.tensor([[1.0, 2.0, 6.0], [3.0, 3.0, 3.0]])
    expected = [[1 - 4.0, 2 - 3.5, 6 - 1.5], [0.0, 0.0, 0.0]]
    assert advantages(rewards).tolist() == expected
