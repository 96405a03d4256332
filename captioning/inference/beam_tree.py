"""A beam search as a tree of prefixes: which were kept at each step, which were dropped, which one won."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from captioning.inference.beam_search import RUNNERS_UP, BeamSearch


class Fate(StrEnum):
    """What became of a prefix."""

    WON = "won"
    """It is the beginning of the caption, or all of it."""
    FINISHED = "finished"
    """It is the beginning of another final hypothesis, or all of it."""
    ABANDONED = "abandoned"
    """It was kept, but at a later step none of its continuations was."""
    DROPPED = "dropped"
    """It was not among the best of its step."""


@dataclass(frozen=True)
class Candidate:
    """A prefix that the search considered: its parent's and one word more.

    Attributes:
        word: the last of the prefix.
        parent: index of its parent among the step before's candidates; None at the first step.
        probability: of the word, given the words before it.
        log_probability: of the whole prefix, in nats.
        fate: what became of it.
        final: whether it is a final hypothesis: it ends with `<end>`, or at the step limit.
        score: what a final hypothesis is ranked by (the length-normalised log-probability).
    """

    word: str
    parent: int | None
    probability: float
    log_probability: float
    fate: Fate
    final: bool
    score: float


@dataclass(frozen=True)
class BeamTree:
    """A search, step by step; each step's candidates are in order of falling log-probability."""

    steps: tuple[tuple[Candidate, ...], ...]

    def prefix(self, step: int, index: int) -> tuple[str, ...]:
        """The words of a candidate, from the first on."""
        words = []
        while index is not None:
            candidate = self.steps[step][index]
            words.append(candidate.word)
            step, index = step - 1, candidate.parent
        return tuple(reversed(words))


def build_tree(search: BeamSearch, photo: int, words: list[str]) -> BeamTree:
    """The tree of a photo's search that was run with `keep_tree`, in words of the vocabulary."""
    rows = _rows(search, photo)
    fates = _fates(search, rows)
    steps = []
    for index, (row, fates_here) in enumerate(zip(rows, fates, strict=True)):
        step, final = search.trace[index], search.final(index)[row]
        steps.append(
            tuple(
                Candidate(
                    word=words[step.tokens[row, rank]],
                    parent=search.parent(index, row, rank)[1] if index else None,
                    probability=float(np.exp(step.log_probabilities[row, rank])),
                    log_probability=float(step.scores[row, rank]),
                    fate=fate,
                    final=bool(final[rank]),
                    score=search.options.score(float(step.scores[row, rank]), index + 1),
                )
                for rank, fate in enumerate(fates_here)
            )
        )
    return BeamTree(tuple(steps))


def _rows(search: BeamSearch, photo: int) -> list[int]:
    """Where a photo stands in each step that it was open for."""
    return [int(row) for step in search.trace for row in np.flatnonzero(step.photos == photo)]


def _fates(search: BeamSearch, rows: list[int]) -> list[list[Fate]]:
    """The fate of each step's candidates."""
    fates, finals = [], []
    for index, row in enumerate(rows):
        step = search.trace[index]
        kept = (step.ended | step.alive)[row]
        # Where places are closed already, more candidates than these have missed one.
        shown = min(np.isfinite(step.scores[row]).sum(), kept.sum() + RUNNERS_UP)
        fates.append([Fate.ABANDONED if here else Fate.DROPPED for here in kept[:shown]])
        for rank in np.flatnonzero(search.final(index)[row]):
            finals.append((search.options.score(float(step.scores[row, rank]), index + 1), index, int(rank)))
    # The winner last, so that what it shares with others is marked as its own.
    for place, (_, index, rank) in enumerate(sorted(finals), start=1):
        fate = Fate.WON if place == len(finals) else Fate.FINISHED
        fates[index][rank] = fate
        while index:
            (_, rank), index = search.parent(index, rows[index], rank), index - 1
            fates[index][rank] = fate
    return fates
