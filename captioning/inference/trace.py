"""What a beam search decided, step by step, and the hypotheses that can be read off it."""

from dataclasses import dataclass

import numpy as np

from captioning.inference.options import SearchOptions


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


@dataclass(frozen=True)
class Step:
    """What one step decided: C candidates for each of the n photos that were open, continuing R rows.

    The candidates are the best continuations, best first. Those that got a place are `ended` or `alive`; the alive
    ones, photo by photo, are the next step's rows.

    Attributes:
        photos: (n,), which of all.
        rows: (n, C), the row that each candidate continues.
        tokens, scores, log_probabilities, ended, alive: (n, C); a score is the sum of log-probabilities so far.
        alternative_tokens, alternative_log_probabilities: (R, A).
        attention: (R, L).
    """

    photos: np.ndarray
    rows: np.ndarray
    tokens: np.ndarray
    scores: np.ndarray
    log_probabilities: np.ndarray
    ended: np.ndarray
    alive: np.ndarray
    alternative_tokens: np.ndarray
    alternative_log_probabilities: np.ndarray
    attention: np.ndarray


class Trace:
    """The candidates of all steps one after the other, as arrays, those of a photo at a step by rank.

    Args:
        steps: of the search.
        photo_count: how many photos were searched.
        options: how they were searched.

    Attributes:
        steps: (candidates,), the step that each belongs to.
        photos, tokens, scores, log_probabilities, ended, alive: (candidates,); see `Step`.
        parents: (candidates,), the candidate that each continues; -1 at the first step.
        final: (candidates,), whether it is a final hypothesis: it ended, or was cut off by the step limit.
    """

    def __init__(self, steps: list[Step], photo_count: int, options: SearchOptions):
        self.photo_count, self.options = photo_count, options
        self.photos = np.concatenate([step.photos.repeat(step.tokens.shape[1]) for step in steps])
        self.tokens = np.concatenate([step.tokens.ravel() for step in steps])
        self.scores = np.concatenate([step.scores.ravel() for step in steps])
        self.log_probabilities = np.concatenate([step.log_probabilities.ravel() for step in steps])
        self.ended = np.concatenate([step.ended.ravel() for step in steps])
        self.alive = np.concatenate([step.alive.ravel() for step in steps])
        self._attention = np.concatenate([step.attention for step in steps])
        self._alternative_tokens = np.concatenate([step.alternative_tokens for step in steps])
        self._alternative_log_probabilities = np.concatenate([step.alternative_log_probabilities for step in steps])
        self.steps = np.repeat(np.arange(len(steps)), [step.tokens.size for step in steps])
        self.final = self.ended | (self.alive & (self.steps == options.max_steps - 1))
        self._rows = _joined([step.rows.ravel() for step in steps], [len(step.attention) for step in steps])
        # The first step has a row a photo; every row after is what stayed alive.
        continued = np.concatenate([np.full(photo_count, -1), np.flatnonzero(self.alive)])
        self.parents = continued[self._rows]

    def score(self, candidate: int) -> float:
        """What a candidate is ranked by, where it is final."""
        return self.options.score(float(self.scores[candidate]), int(self.steps[candidate]) + 1)

    def path(self, candidate: int) -> list[int]:
        """The candidates that lead to one, from the first step's on, itself included."""
        path = []
        while candidate >= 0:
            path.append(candidate)
            candidate = self.parents[candidate]
        return path[::-1]

    def hypotheses(self) -> list[list[Hypothesis]]:
        """The final hypotheses of every photo, best first."""
        results: list[list[Hypothesis]] = [[] for _ in range(self.photo_count)]
        for candidate in np.flatnonzero(self.final).tolist():
            results[self.photos[candidate]].append(self._hypothesis(candidate))
        for found in results:
            found.sort(key=lambda hypothesis: -hypothesis.score)
        return results

    def _hypothesis(self, candidate: int) -> Hypothesis:
        path = self.path(candidate)
        rows = self._rows[path]
        return Hypothesis(
            tokens=self.tokens[path].tolist(),
            log_probability=float(self.scores[candidate]),
            score=self.score(candidate),
            token_log_probabilities=self.log_probabilities[path],
            attention=self._attention[rows],
            alternative_tokens=self._alternative_tokens[rows],
            alternative_log_probabilities=self._alternative_log_probabilities[rows],
        )


def _joined(indices: list[np.ndarray], counts: list[int]) -> np.ndarray:
    """Indices into each of several tables of so many rows, as indices into all of them one after the other."""
    firsts = np.cumsum([0, *counts[:-1]])
    return np.concatenate([each + first for each, first in zip(indices, firsts, strict=True)])
