"""The third stage: self-critical sequence training (Rennie et al., 2017), with the baseline of Luo (2020)."""

from typing import Any

import torch
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

from captioning.data.batches import Batch
from captioning.model.decoder import AttentionDecoder, Memory, State, speakable_log_probabilities
from captioning.training.cider_reward import CiderD
from captioning.training.task import CaptioningTask
from captioning.vocabulary import END, PAD, START

# A longer sample is cut off here, and rewarded for its words so far.
MAX_STEPS = 24


class SelfCriticalTask(CaptioningTask):
    """Samples captions of each photo, and makes those more likely that score higher on its references than the others.

    The reward is CIDEr-D, with document frequencies of the train captions, plus `bleu_reward` times the sentence's
    BLEU-4. <end> counts as a word, so that a caption that breaks off earns less.

    Logs the mean `reward` in place of `train_loss`.

    Args:
        train_captions: for every train photo its captions as lists of ids, from <start> to <end>.
        others: see `CaptioningTask`.
    """

    measure = "reward"

    def __init__(self, *others, train_captions: list[list[list[int]]]):
        super().__init__(*others)
        self._targets = [[caption[1:] for caption in captions] for captions in train_captions]
        self._cider = CiderD(self._targets)
        self._smoothing = SmoothingFunction().method2

    def training_loss(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        tokens, log_probabilities = sample(self.model.decoder, self.features(batch), self.settings.samples)
        rewards = torch.tensor(
            [
                [self._reward(photo, [token for token in row if token != PAD]) for row in rows]
                for photo, rows in zip(batch.indices.tolist(), tokens.tolist(), strict=True)
            ],
            device=log_probabilities.device,
        )
        words = tokens != PAD
        gain = (advantages(rewards).unsqueeze(-1) * log_probabilities)[words].sum()
        return -gain / words.sum(), rewards.mean()

    def _reward(self, photo: int, caption: list[int]) -> float:
        reward = self._cider.score(photo, caption)
        if self.settings.bleu_reward:
            bleu: Any = sentence_bleu(self._targets[photo], caption, smoothing_function=self._smoothing)
            reward += self.settings.bleu_reward * bleu
        return reward


def advantages(rewards: torch.Tensor) -> torch.Tensor:
    """Rewards (N, K) less the mean of the photo's other samples (Luo, 2020, equation 4)."""
    others = (rewards.sum(dim=1, keepdim=True) - rewards) / (rewards.shape[1] - 1)
    return rewards - others


def sample(decoder: AttentionDecoder, features: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw captions from the decoder, word by word, in the mode it is in.

    Args:
        features: of the encoder, (N, L, encoder_channels).
        count: captions a photo, K.

    Returns:
        Ids (N, K, T), <end> included and <pad> after it, and their log-probabilities (N, K, T), through which the
        gradient flows; 0 at <pad>.
    """
    memory, state = decoder.start(features, count)
    photos = torch.arange(len(features), device=features.device)
    tokens = torch.full((len(features), count), START, device=features.device)
    drawn, values = [], []
    for _ in range(MAX_STEPS):
        state = decoder.advance(decoder.attend(memory, state), tokens)
        log_probabilities = speakable_log_probabilities(decoder.predict(state.hidden), tokens)
        going = (tokens != END) & (tokens != PAD)
        choice = torch.multinomial(log_probabilities.detach().exp().flatten(0, 1), 1).view_as(tokens)
        value = log_probabilities.gather(-1, choice.unsqueeze(-1)).squeeze(-1)
        tokens = choice.masked_fill(~going, PAD)
        drawn.append(_at(photos, tokens, len(features)))
        values.append(_at(photos, value.masked_fill(~going, 0.0), len(features)))
        # Photos whose captions are all over drop out.
        still = ((tokens != END) & (tokens != PAD)).any(dim=1)
        if not still.any():
            break
        photos, tokens = photos[still], tokens[still]
        memory = Memory(*(tensor[still] for tensor in memory))
        state = State(*(tensor[still] for tensor in state))
    return torch.stack(drawn, dim=2), torch.stack(values, dim=2)


def _at(photos: torch.Tensor, rows: torch.Tensor, count: int) -> torch.Tensor:
    """Rows of some photos at their places among all, zeros (which are <pad>) elsewhere."""
    return rows.new_zeros(count, rows.shape[1]).index_copy(0, photos, rows)
