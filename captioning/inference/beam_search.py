"""Beam search, batched over photos and beams.

Each photo has `beam_size` places; the hypotheses in those that are still open are the search's rows, photo by photo. At
every step the best continuations fill the open places; a continuation that is `<end>` closes its place for good, so
that a search ends with as many finished hypotheses as the beam is wide. Within a step all continuations have the same
length; lengths matter only in the final ranking.

A photo's caption can be given a prefix: words that are said, however likely they are, before the search is free. They
count in the log-probability as any other word does.
"""

from collections.abc import Sequence
from itertools import compress, pairwise

import numpy as np

from captioning.inference.backend import Backend, EncodedPhoto, Predictions
from captioning.inference.options import SearchOptions
from captioning.inference.trace import Hypothesis, Step, Trace
from captioning.vocabulary import END, NEVER_GENERATED, START

# Continuations without a place that `keep_tree` remembers at a step.
RUNNERS_UP = 3
# In place of a token of the prefix where it is over.
FREE = -1


def beam_search(
    backend: Backend,
    photos: Sequence[EncodedPhoto],
    options: SearchOptions,
    prefixes: Sequence[Sequence[int]] | None = None,
    once: Sequence[bool] = (),
) -> list[list[Hypothesis]]:
    """Search captions of encoded photos; see `BeamSearch`.

    Returns:
        For each photo its hypotheses, best first: `beam_size` of them, or fewer where there are not so many
        captions at all, but never none.
    """
    return BeamSearch(backend, photos, options, prefixes, once).run().hypotheses()


class BeamSearch:
    """A search: of the photos that still have an open place, everything; of the others, the trace.

    A caption has at least one word and never says a word twice in a row, and `<pad>`, `<start>` and `<unk>` are never
    generated: probabilities are taken over the tokens that may be. A word that a caption says once at most keeps its
    probability, and is passed over after that; a prefix may repeat it.

    Args:
        backend: the model.
        photos: N of them, encoded by it.
        options: how to search.
        prefixes: for each photo the tokens its caption begins with; `<end>` may be the last of several.
        once: for each token whether a caption says it once at most, as `Vocabulary.once`; none does without it.

    Raises:
        ValueError: a prefix holds a token that cannot stand there, or more tokens than `max_steps`.
    """

    def __init__(
        self,
        backend: Backend,
        photos: Sequence[EncodedPhoto],
        options: SearchOptions,
        prefixes: Sequence[Sequence[int]] | None = None,
        once: Sequence[bool] = (),
    ):
        self.count = count = len(photos)
        self.backend, self.options = backend, options
        self.forced = _forced_tokens(prefixes or [()] * count, options.max_steps)
        # Of the open photos: what the backend knows of them, which of all they are, and how many rows they have.
        self.encoded, self.states = list(photos), [photo.state for photo in photos]
        self.open_photos, self.closed_places = np.arange(count), np.zeros((count, 1), dtype=int)
        self.row_counts = np.ones(count, dtype=int)
        # Of the rows: which row of its photo's state each continues, the last token, and the log-probability; and for
        # each token whether it is said once at most and has been said (R, V).
        self.parents = np.zeros(count, dtype=int)
        self.tokens, self.scores = np.full(count, START), np.zeros(count, dtype=np.float32)
        self.once = np.array(once, dtype=bool)
        self.said = np.zeros((count, len(self.once)), dtype=bool)
        self.steps: list[Step] = []

    def run(self) -> Trace:
        """Search to the end."""
        while self.open_photos.size and len(self.steps) < self.options.max_steps:
            self._advance()
        return Trace(self.steps, self.count, self.options)

    def _advance(self) -> None:
        """Extend every open hypothesis by one token and keep the best."""
        wanted = self.options.beam_size + (RUNNERS_UP if self.options.keep_tree else 0)
        photos = np.arange(len(self.row_counts)).repeat(self.row_counts)
        forced = self._forced(photos)
        # A row's continuations are its best without those that it has said, of which there are so many at most.
        passed_over = len(self.steps) if self.once.size else 0
        found = self.backend.step(
            self.encoded,
            self.states,
            *(self._by_photo(rows) for rows in (self.parents, self.tokens, forced.clip(min=0))),
            count=max(wanted + passed_over, self.options.alternatives),
        )
        # No continuation can be among its photo's best that is not among its row's.
        values, tokens = self._continuations(found, forced)
        rows, ranks, scores = self._best_of_photos(photos, self.scores[:, None] + values, wanted)
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
            alternative_tokens=found.tokens[:, : self.options.alternatives],
            alternative_log_probabilities=found.log_probabilities[:, : self.options.alternatives],
            attention=found.attention,
        )
        self.steps.append(step)
        self.closed_places = self.closed_places + ended.sum(axis=1, keepdims=True)
        self._follow(step, found.states)

    def _continuations(self, found: Predictions, forced: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log-probabilities and tokens (R, C) of the best continuations, or the prefix's alone where it is not over.

        What a row cannot say again is -inf.
        """
        values = found.log_probabilities
        if self.once.size:
            values = np.where(np.take_along_axis(self.said, found.tokens, axis=1), -np.inf, values)
        if not forced.shape[1]:
            return values, found.tokens
        only = np.full_like(values, -np.inf)
        only[:, :1] = found.wanted
        free = forced == FREE
        return np.where(free, values, only), np.where(free, found.tokens, forced)

    def _by_photo(self, rows: np.ndarray) -> list[np.ndarray]:
        # Splitting takes 13 µs a step, which counts where there is one photo.
        return [rows] if len(self.row_counts) == 1 else np.split(rows, self.row_counts.cumsum()[:-1])

    def _best_of_photos(
        self, photos: np.ndarray, totals: np.ndarray, wanted: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The best of each photo's continuations, totals (R, C): rows, places among the row's, and totals, (n, …)."""
        firsts, width = self.row_counts.cumsum() - self.row_counts, totals.shape[1]
        if len(firsts) == 1:
            grid = totals.reshape(1, -1)
        else:
            grid = np.full((len(firsts), self.options.beam_size, width), -np.inf, dtype=totals.dtype)
            grid[photos, np.arange(len(photos)) - firsts[photos]] = totals
            grid = grid.reshape(len(grid), -1)
        chosen = np.argsort(-grid, axis=1, kind="stable")[:, :wanted]
        # What stands for rows that a photo lacks is -inf, and of no row's; any will do.
        rows = np.minimum(firsts[:, None] + chosen // width, len(photos) - 1)
        return rows, chosen % width, grid[np.arange(len(grid))[:, None], chosen]

    def _forced(self, photos: np.ndarray) -> np.ndarray:
        """The prefix's token for each row (R, 1), FREE where it is over; (R, 0) where every prefix is."""
        step = len(self.steps)
        return self.forced[photos, step : step + 1]

    def _follow(self, step: Step, states: list) -> None:
        """Move on to the chosen continuations, leaving out the photos that have no open place."""
        photos, ranks = step.alive.nonzero()
        firsts = self.row_counts.cumsum() - self.row_counts
        self.parents = step.rows[photos, ranks] - firsts[photos]
        self.tokens, self.scores = step.tokens[photos, ranks], step.scores[photos, ranks]
        self.said = self.said[step.rows[photos, ranks]]
        if self.once.size:
            self.said[np.arange(len(self.tokens)), self.tokens] = self.once[self.tokens]
        counts = step.alive.sum(axis=1)
        still = counts > 0
        self.row_counts = counts[still]
        self.open_photos, self.closed_places = self.open_photos[still], self.closed_places[still]
        self.forced = self.forced[still]
        self.encoded, self.states = list(compress(self.encoded, still)), list(compress(states, still))


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
