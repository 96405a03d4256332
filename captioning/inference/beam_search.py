"""Beam search, batched over photos and beams.

Each photo has `beam_size` places. At every step the best continuations fill the places that are still open; a
continuation that is `<end>` closes its place for good, so that a search ends with as many finished hypotheses as
the beam is wide. Within a step all continuations have the same length; lengths matter only in the final ranking.
"""

from dataclasses import dataclass

import numpy as np
import torch

from captioning.model.decoder import AttentionDecoder, Memory, State
from captioning.vocabulary import END, PAD, START, UNK

NEVER_GENERATED = (PAD, START, UNK)


@dataclass(frozen=True)
class SearchOptions:
    """How to search.

    Attributes:
        beam_size: hypotheses kept a photo; 1 is greedy search.
        max_steps: tokens after which a hypothesis is ranked as it is, finished or not.
        length_penalty: hypotheses are ranked by log-probability / tokens ** length_penalty (`<end>` counts as a
            token); 0 ranks by log-probability alone.
        alternatives: likeliest words remembered at every step.
    """

    beam_size: int = 5
    max_steps: int = 30
    length_penalty: float = 0.5
    alternatives: int = 5


@dataclass(frozen=True)
class Hypothesis:
    """One result of a search, T tokens long; the last is `<end>` unless the step limit cut it off.

    Attributes:
        tokens: ids (T,).
        log_probability: sum over the tokens, in nats.
        score: what it was ranked by.
        token_log_probabilities: (T,).
        attention: weights (T, L) with which each token was chosen.
        alternative_tokens: ids (T, A) of the likeliest tokens at each step, best first.
        alternative_log_probabilities: (T, A).
    """

    tokens: list[int]
    log_probability: float
    score: float
    token_log_probabilities: np.ndarray
    attention: np.ndarray
    alternative_tokens: np.ndarray
    alternative_log_probabilities: np.ndarray


@torch.inference_mode()
def beam_search(decoder: AttentionDecoder, features: torch.Tensor, options: SearchOptions) -> list[list[Hypothesis]]:
    """Search captions for encoder features (N, L, encoder_channels).

    A caption has at least one word, and `<pad>`, `<start>` and `<unk>` are never generated: probabilities are taken
    over the tokens that may be.

    Returns:
        For each photo its hypotheses, best first: `beam_size` of them, or fewer where there are not so many
        captions at all, but never none.
    """
    search = _Search(decoder, features, options)
    while search.open_photos.numel() and search.steps < options.max_steps:
        search.advance()
    return search.hypotheses()


@dataclass(frozen=True)
class _Trace:
    """What one step decided, for the photos that were still open: all (N, K), or (N, K, …) by parent place."""

    photos: torch.Tensor
    parents: torch.Tensor
    tokens: torch.Tensor
    scores: torch.Tensor
    ended: torch.Tensor
    alive: torch.Tensor
    attention: torch.Tensor
    log_probabilities: torch.Tensor
    alternative_tokens: torch.Tensor
    alternative_log_probabilities: torch.Tensor


class _Search:
    """The state of a search: of the photos that still have an open place, everything; of the others, the trace."""

    def __init__(self, decoder: AttentionDecoder, features: torch.Tensor, options: SearchOptions):
        count, beams, device = len(features), options.beam_size, features.device
        self.decoder, self.options, self.steps = decoder, options, 0
        self.photo_count = count
        self.open_photos = torch.arange(count, device=device)
        self.memory, self.state = decoder.start(features, beams)
        self.tokens = torch.full((count, beams), START, device=device)
        # All places hold the same empty caption at first, so all but one are closed.
        self.scores = torch.full((count, beams), -torch.inf, device=device)
        self.scores[:, 0] = 0.0
        self.places = torch.full((count, 1), beams, device=device)
        self.trace: list[_Trace] = []

    def advance(self) -> None:
        """Extend every open hypothesis by one token and keep the best."""
        out = self.decoder.step(self.tokens, self.state, self.memory)
        log_probabilities = self._mask(out.logits).log_softmax(dim=-1)
        totals = (self.scores.unsqueeze(-1) + log_probabilities).flatten(1)
        beams = self.options.beam_size
        scores, chosen = totals.topk(min(beams, totals.shape[1]), dim=1)
        vocabulary_size = log_probabilities.shape[-1]
        parents, tokens = chosen // vocabulary_size, chosen % vocabulary_size
        rank = torch.arange(scores.shape[1], device=scores.device)
        kept = (rank < self.places) & scores.isfinite()
        ended = kept & (tokens == END)
        alternatives = log_probabilities.topk(min(self.options.alternatives, vocabulary_size), dim=-1)
        self.trace.append(
            _Trace(
                photos=self.open_photos,
                parents=parents,
                tokens=tokens,
                scores=scores,
                ended=ended,
                alive=kept & ~ended,
                attention=out.attention,
                log_probabilities=log_probabilities.flatten(1).gather(1, chosen),
                alternative_tokens=alternatives.indices,
                alternative_log_probabilities=alternatives.values,
            )
        )
        self.steps += 1
        self.places = self.places - ended.sum(dim=1, keepdim=True)
        self._follow(out.state, parents, tokens, scores.masked_fill(~kept | ended, -torch.inf))

    def hypotheses(self) -> list[list[Hypothesis]]:
        """The finished hypotheses of every photo, and those that the step limit cut off, best first."""
        results: list[list[Hypothesis]] = [[] for _ in range(self.photo_count)]
        trace = [_Trace(**{name: value.cpu().numpy() for name, value in vars(step).items()}) for step in self.trace]
        # Where in a step's rows a photo stands, for photos leave as they are finished.
        rows = [{photo: row for row, photo in enumerate(step.photos.tolist())} for step in trace]
        for index, step in enumerate(trace):
            final = step.ended | step.alive if index + 1 == self.options.max_steps else step.ended
            for row, place in np.argwhere(final):
                photo = int(step.photos[row])
                steps = [(each, where[photo]) for each, where in zip(trace[: index + 1], rows, strict=False)]
                results[photo].append(self._backtrack(steps, int(place)))
        for found in results:
            found.sort(key=lambda hypothesis: -hypothesis.score)
        return results

    def _mask(self, logits: torch.Tensor) -> torch.Tensor:
        banned = NEVER_GENERATED if self.steps else (*NEVER_GENERATED, END)
        logits = logits.float()
        logits[..., list(banned)] = -torch.inf
        return logits

    def _follow(self, state: State, parents: torch.Tensor, tokens: torch.Tensor, scores: torch.Tensor) -> None:
        """Move on to the chosen continuations, leaving out the photos that have no open place."""
        still = scores.isfinite().any(dim=1)
        if not still.all():
            self.open_photos, self.places = self.open_photos[still], self.places[still]
            self.memory = Memory(*(tensor[still] for tensor in self.memory))
            state = State(*(tensor[still] for tensor in state))
            parents, tokens, scores = parents[still], tokens[still], scores[still]
        photo = torch.arange(len(parents), device=parents.device).unsqueeze(1)
        self.state = State(*(tensor[photo, parents] for tensor in state))
        self.tokens, self.scores = tokens, scores

    def _backtrack(self, steps: list[tuple[_Trace, int]], place: int) -> Hypothesis:
        tokens, values, attention, alternative_tokens, alternative_values = [], [], [], [], []
        last, last_row = steps[-1]
        total = float(last.scores[last_row, place])
        for step, row in reversed(steps):
            parent = step.parents[row, place]
            tokens.append(int(step.tokens[row, place]))
            values.append(step.log_probabilities[row, place])
            attention.append(step.attention[row, parent])
            alternative_tokens.append(step.alternative_tokens[row, parent])
            alternative_values.append(step.alternative_log_probabilities[row, parent])
            place = parent
        return Hypothesis(
            tokens=tokens[::-1],
            log_probability=total,
            score=total / len(tokens) ** self.options.length_penalty,
            token_log_probabilities=np.array(values[::-1]),
            attention=np.stack(attention[::-1]),
            alternative_tokens=np.stack(alternative_tokens[::-1]),
            alternative_log_probabilities=np.stack(alternative_values[::-1]),
        )
