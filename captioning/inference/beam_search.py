"""Beam search, batched over photos and beams.

Each photo has `beam_size` places; the hypotheses in those that are still open are the search's rows, photo by photo. At
every step the best continuations fill the open places; a continuation that is `<end>` closes its place for good, so
that a search ends with as many finished hypotheses as the beam is wide. Within a step all continuations have the same
length; lengths matter only in the final ranking.

The decoder computes where its weights are; what follows from the likeliest tokens, a few numbers a photo, is decided in
numpy, whose operations on so little cost a fraction of torch's and wait for no device.

A photo's caption can be given a prefix: words that are said, whatever the model thinks of them, before the search is
free. They count in the log-probability as any other word does.
"""

from collections.abc import Sequence
from itertools import compress, pairwise
from typing import NamedTuple

import numpy as np
import torch

from captioning.inference.options import SearchOptions
from captioning.inference.trace import Hypothesis, Step, Trace
from captioning.model.decoder import State
from captioning.model.search_decoder import SearchDecoder
from captioning.vocabulary import END, PAD, START, UNK

NEVER_GENERATED = (PAD, START, UNK)
# Continuations without a place that `keep_tree` remembers at a step.
RUNNERS_UP = 3
# In place of a token of the prefix, where it is over.
FREE = -1


def beam_search(
    decoder: SearchDecoder,
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
    """Logits (…, V) in float32 of what captions may say after the tokens `before` (…); the rest is -inf.

    Args:
        logits: (…, V).
        before: the tokens that were said last, which are not said again.
        first: whether nothing has been said yet, so that the caption cannot end.
    """
    banned = (*NEVER_GENERATED, END) if first else NEVER_GENERATED
    masked = logits.float().scatter(-1, before.unsqueeze(-1), -torch.inf)
    masked[..., list(banned)] = -torch.inf
    return masked


class Best(NamedTuple):
    """The likeliest tokens of R rows, best first: log-probabilities and ids, both (R, C)."""

    values: np.ndarray
    tokens: np.ndarray


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
        decoder: SearchDecoder,
        features: torch.Tensor,
        options: SearchOptions,
        prefixes: Sequence[Sequence[int]] | None = None,
    ):
        count = len(features)
        self.decoder, self.features, self.options = decoder, features, options
        self.forced = _forced_tokens(prefixes or [()] * count, options.max_steps)
        self.open_photos, self.closed_places = np.arange(count), np.zeros((count, 1), dtype=int)
        # Of the open photos: their first rows, and how many of the decoder's states are theirs.
        self.firsts, self.state_counts = np.arange(count), [1] * count
        # Of the rows: which of the open photos, which of the decoder's states, the last token, and the log-probability.
        self.photos = self.parents = np.arange(count)
        self.tokens, self.scores = np.full(count, START), np.zeros(count, dtype=np.float32)
        self.steps: list[Step] = []

    @torch.inference_mode()
    def run(self) -> Trace:
        """Search to the end."""
        self.memories, self.state = self.decoder.start(self.features)
        while self.open_photos.size and len(self.steps) < self.options.max_steps:
            self._advance()
        return Trace(self.steps, len(self.features), self.options)

    def _advance(self) -> None:
        """Extend every open hypothesis by one token and keep the best."""
        glimpse = self.decoder.look(self.memories, self.state, self.state_counts)
        before = self._sent(self.tokens)
        state = self.decoder.read(glimpse, self._sent(self.parents), before)
        logits = self.decoder.predict(state.hidden)
        log_probabilities = allowed(logits, before, first=not self.steps).log_softmax(dim=1)
        wanted = self.options.beam_size + (RUNNERS_UP if self.options.keep_tree else 0)
        width = min(max(wanted, self.options.alternatives), log_probabilities.shape[1])
        best = Best(*(each.numpy(force=True) for each in log_probabilities.topk(width)))
        # No continuation can be among its photo's best that is not among its row's.
        values, tokens = (each[:, :wanted] for each in self._force(best, log_probabilities))
        rows, ranks, scores = self._best_of_photos(self.scores[:, None] + values, wanted)
        tokens = tokens[rows, ranks]
        open_places = self.options.beam_size - self.closed_places
        kept = (scores > -np.inf) & (np.arange(scores.shape[1]) < open_places)
        ended = kept & (tokens == END)
        step = Step(
            photos=self.open_photos,
            rows=rows,
            tokens=tokens,
            scores=scores,
            log_probabilities=values[rows, ranks],
            ended=ended,
            alive=kept & ~ended,
            states=self.parents,
            alternative_tokens=best.tokens[:, : self.options.alternatives],
            alternative_log_probabilities=best.values[:, : self.options.alternatives],
            attention=glimpse.attention,
        )
        self.steps.append(step)
        self.closed_places = self.closed_places + ended.sum(axis=1, keepdims=True)
        self._follow(step, state)

    def _best_of_photos(self, totals: np.ndarray, wanted: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The best of each photo's continuations, totals (R, C): rows, places among the row's, and totals, (n, …)."""
        photos, width = self.photos, totals.shape[1]
        grid = np.full((len(self.open_photos), self.options.beam_size, width), -np.inf, dtype=totals.dtype)
        grid[photos, np.arange(len(photos)) - self.firsts[photos]] = totals
        grid = grid.reshape(len(grid), -1)
        chosen = np.argsort(-grid, axis=1, kind="stable")[:, :wanted]
        # What stands for rows that a photo lacks is -inf, and of no row's; any will do.
        rows = np.minimum(self.firsts[:, None] + chosen // width, len(photos) - 1)
        return rows, chosen % width, grid[np.arange(len(grid))[:, None], chosen]

    def _force(self, best: Best, log_probabilities: torch.Tensor) -> Best:
        """The best continuations of rows, or the prefix's alone where it is not over; log-probabilities (R, V)."""
        if len(self.steps) >= self.forced.shape[1]:
            return best
        forced = self.forced[self.photos, len(self.steps), None]
        only = np.full_like(best.values, -np.inf)
        only[:, :1] = log_probabilities.gather(1, self._sent(forced.clip(min=0))).numpy(force=True)
        free = forced == FREE
        return Best(np.where(free, best.values, only), np.where(free, best.tokens, forced))

    def _follow(self, step: Step, state: State) -> None:
        """Move on to the chosen continuations, leaving out the photos that have no open place."""
        photos, ranks = step.alive.nonzero()
        self.tokens, self.scores = step.tokens[photos, ranks], step.scores[photos, ranks]
        # Of the states those that are gone on from, once each.
        rows = step.rows[photos, ranks]
        used = np.zeros(len(self.photos), dtype=bool)
        used[rows] = True
        self.parents = (used.cumsum() - 1)[rows]
        chosen = self._sent(used.nonzero()[0])
        self.state = State(*(tensor.index_select(0, chosen) for tensor in state))
        rows, states = (np.bincount(of, minlength=len(self.open_photos)) for of in (photos, self.photos[used]))
        still = rows > 0
        if not still.all():
            self.open_photos, self.closed_places = self.open_photos[still], self.closed_places[still]
            self.forced = self.forced[still]
            self.memories = list(compress(self.memories, still))
            photos, rows, states = (still.cumsum() - 1)[photos], rows[still], states[still]
        self.photos, self.firsts, self.state_counts = photos, rows.cumsum() - rows, states.tolist()

    def _sent(self, array: np.ndarray) -> torch.Tensor:
        """An array, on the decoder's device."""
        return torch.from_numpy(array).to(self.features.device)


def _forced_tokens(prefixes: Sequence[Sequence[int]], max_steps: int) -> np.ndarray:
    """The prefixes (N, longest), filled up with FREE."""
    for prefix in prefixes:
        if len(prefix) > max_steps:
            raise ValueError(f"a prefix has at most {max_steps} tokens")
        if set(prefix) & set(NEVER_GENERATED) or END in prefix[:-1] or list(prefix) == [END]:
            raise ValueError("a prefix consists of words, with <end> at most after the last")
        if any(first == second for first, second in pairwise(prefix)):
            raise ValueError("a prefix has no word twice in a row")
    forced = np.full((len(prefixes), max(map(len, prefixes))), FREE)
    for row, prefix in zip(forced, prefixes, strict=True):
        row[: len(prefix)] = prefix
    return forced
