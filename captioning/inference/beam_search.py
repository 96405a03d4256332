"""Beam search, batched over photos and beams.

Each photo has `beam_size` places. At every step the best continuations fill the places that are still open; a
continuation that is `<end>` closes its place for good, so that a search ends with as many finished hypotheses as
the beam is wide. Within a step all continuations have the same length; lengths matter only in the final ranking.

A photo's caption can be given a prefix: words that are said, whatever the model thinks of them, before the search is
free. They count in the log-probability as any other word does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from captioning.inference.options import SearchOptions
from captioning.model.decoder import AttentionDecoder, Memory, State
from captioning.vocabulary import END, PAD, START, UNK

NEVER_GENERATED = (PAD, START, UNK)
# Continuations without a place that `keep_tree` remembers at a step.
RUNNERS_UP = 3
# In place of a token of the prefix, where it is over.
FREE = -1


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


def beam_search(
    decoder: AttentionDecoder,
    features: torch.Tensor,
    options: SearchOptions,
    prefixes: Sequence[Sequence[int]] | None = None,
) -> list[list[Hypothesis]]:
    """Search captions for encoder features (N, L, encoder_channels); see `BeamSearch`.

    Returns:
        For each photo its hypotheses, best first: `beam_size` of them, or fewer where there are not so many
        captions at all, but never none.
    """
    return BeamSearch(decoder, features, options, prefixes).run().hypotheses()


def allowed(logits: torch.Tensor, before: torch.Tensor, *, first: bool) -> torch.Tensor:
    """Logits (N, K, V) in float32 of what a caption may say after the tokens `before` (N, K); the rest is -inf.

    Args:
        logits: (N, K, V).
        before: the tokens that were said last, which are not said again.
        first: whether nothing has been said yet, so that the caption cannot end.
    """
    banned = (*NEVER_GENERATED, END) if first else NEVER_GENERATED
    masked = logits.float().scatter(-1, before.unsqueeze(-1), -torch.inf)
    masked[..., list(banned)] = -torch.inf
    return masked


@dataclass(frozen=True)
class Trace:
    """What one step decided, for the photos that were still open: arrays (N, candidates), or (N, K, …) by parent place.

    The candidates are the best continuations, best first. Those that got a place are `ended` or `alive`, and a place
    is the index of its candidate.
    """

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


class BeamSearch:
    """A search: of the photos that still have an open place, everything; of the others, the trace.

    A caption has at least one word and never says a word twice in a row, and `<pad>`, `<start>` and `<unk>` are never
    generated: probabilities are taken over the tokens that may be.

    Args:
        decoder: the model's.
        features: (N, L, encoder_channels).
        options: how to search.
        prefixes: for each photo the tokens its caption begins with; `<end>` may be the last of several.

    Raises:
        ValueError: a prefix holds a token that cannot stand there, or more tokens than `max_steps`.
    """

    def __init__(
        self,
        decoder: AttentionDecoder,
        features: torch.Tensor,
        options: SearchOptions,
        prefixes: Sequence[Sequence[int]] | None = None,
    ):
        count, beams, device = len(features), options.beam_size, features.device
        self.decoder, self.features, self.options, self.steps = decoder, features, options, 0
        self.forced = _forced_tokens(prefixes or [()] * count, options.max_steps).to(device)
        self.photo_count = count
        self.open_photos = torch.arange(count, device=device)
        self.tokens = torch.full((count, beams), START, device=device)
        # All places hold the same empty caption at first, so all but one are closed.
        self.scores = torch.full((count, beams), -torch.inf, device=device)
        self.scores[:, 0] = 0.0
        self.places = torch.full((count, 1), beams, device=device)
        self.trace: list[Trace] = []

    @torch.inference_mode()
    def run(self) -> "BeamSearch":
        """Search to the end."""
        self.memory, self.state = self.decoder.start(self.features, self.options.beam_size)
        while self.open_photos.numel() and self.steps < self.options.max_steps:
            self._advance()
        self.trace = [Trace(**{name: value.cpu().numpy() for name, value in vars(step).items()}) for step in self.trace]
        # Where in a step's rows a photo stands, for photos leave as they are finished.
        self.rows = [{photo: row for row, photo in enumerate(step.photos.tolist())} for step in self.trace]
        return self

    def hypotheses(self) -> list[list[Hypothesis]]:
        """The finished hypotheses of every photo, and those that the step limit cut off, best first."""
        results: list[list[Hypothesis]] = [[] for _ in range(self.photo_count)]
        for index, step in enumerate(self.trace):
            for row, place in np.argwhere(self.final(index)):
                steps = self.trace_of(int(step.photos[row]))[: index + 1]
                results[int(step.photos[row])].append(self._backtrack(steps, int(place)))
        for found in results:
            found.sort(key=lambda hypothesis: -hypothesis.score)
        return results

    def final(self, index: int) -> np.ndarray:
        """Which candidates of a step, by row, are final hypotheses: what ended, or was cut off by the step limit."""
        step = self.trace[index]
        return step.ended | step.alive if index + 1 == self.options.max_steps else step.ended

    def trace_of(self, photo: int) -> list[tuple[Trace, int]]:
        """The steps that a photo was open for, each with the photo's row in it."""
        return [(step, where[photo]) for step, where in zip(self.trace, self.rows, strict=True) if photo in where]

    def _advance(self) -> None:
        """Extend every open hypothesis by one token and keep the best."""
        out = self.decoder.step(self.tokens, self.state, self.memory)
        log_probabilities = allowed(out.logits, self.tokens, first=self.steps == 0).log_softmax(dim=-1)
        totals = self._force(self.scores.unsqueeze(-1) + log_probabilities).flatten(1)
        beams, vocabulary_size = self.options.beam_size, log_probabilities.shape[-1]
        candidates = beams + RUNNERS_UP if self.options.keep_tree else beams
        scores, chosen = totals.topk(min(candidates, totals.shape[1]), dim=1)
        parents, tokens = chosen // vocabulary_size, chosen % vocabulary_size
        rank = torch.arange(scores.shape[1], device=scores.device)
        kept = (rank < self.places) & scores.isfinite()
        ended = kept & (tokens == END)
        alternatives = log_probabilities.topk(min(self.options.alternatives, vocabulary_size), dim=-1)
        self.trace.append(
            Trace(
                photos=self.open_photos,
                parents=parents,
                tokens=tokens,
                scores=scores,
                ended=ended,
                alive=kept & ~ended,
                attention=out.attention.float(),
                log_probabilities=log_probabilities.flatten(1).gather(1, chosen),
                alternative_tokens=alternatives.indices,
                alternative_log_probabilities=alternatives.values,
            )
        )
        self.steps += 1
        self.places = self.places - ended.sum(dim=1, keepdim=True)
        scores = scores.masked_fill(~kept | ended, -torch.inf)
        self._follow(out.state, parents[:, :beams], tokens[:, :beams], scores[:, :beams])

    def _force(self, totals: torch.Tensor) -> torch.Tensor:
        """Close all continuations but the prefix's, for the photos whose prefix is not over; totals (N, K, V)."""
        if self.steps >= self.forced.shape[1]:
            return totals
        forced = self.forced[:, self.steps].view(-1, 1, 1)
        others = torch.arange(totals.shape[-1], device=totals.device) != forced
        return totals.masked_fill((forced != FREE) & others, -torch.inf)

    def _follow(self, state: State, parents: torch.Tensor, tokens: torch.Tensor, scores: torch.Tensor) -> None:
        """Move on to the chosen continuations, leaving out the photos that have no open place."""
        still = scores.isfinite().any(dim=1)
        if not still.all():
            self.open_photos, self.places = self.open_photos[still], self.places[still]
            self.forced = self.forced[still]
            self.memory = Memory(*(tensor[still] for tensor in self.memory))
            state = State(*(tensor[still] for tensor in state))
            parents, tokens, scores = parents[still], tokens[still], scores[still]
        photo = torch.arange(len(parents), device=parents.device).unsqueeze(1)
        self.state = State(*(tensor[photo, parents] for tensor in state))
        self.tokens, self.scores = tokens, scores

    def _backtrack(self, steps: list[tuple[Trace, int]], place: int) -> Hypothesis:
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
            score=self.options.score(total, len(tokens)),
            token_log_probabilities=np.array(values[::-1]),
            attention=np.stack(attention[::-1]),
            alternative_tokens=np.stack(alternative_tokens[::-1]),
            alternative_log_probabilities=np.stack(alternative_values[::-1]),
        )


def _forced_tokens(prefixes: Sequence[Sequence[int]], max_steps: int) -> torch.Tensor:
    """The prefixes (N, longest), filled up with FREE."""
    for prefix in prefixes:
        if len(prefix) > max_steps:
            raise ValueError(f"a prefix has at most {max_steps} tokens")
        if set(prefix) & set(NEVER_GENERATED) or END in prefix[:-1] or list(prefix) == [END]:
            raise ValueError("a prefix consists of words, with <end> at most after the last")
        if any(first == second for first, second in pairwise(prefix)):
            raise ValueError("a prefix has no word twice in a row")
    forced = torch.full((len(prefixes), max(map(len, prefixes))), FREE)
    for row, prefix in zip(forced, prefixes, strict=True):
        row[: len(prefix)] = torch.tensor(prefix, dtype=torch.long)
    return forced
