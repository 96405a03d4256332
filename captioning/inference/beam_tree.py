"""A beam search as a tree of prefixes: which were kept at each step, which were dropped, which one won."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from captioning.inference.beam_search import RUNNERS_UP
from captioning.inference.trace import Trace


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
        words, place = [], index
        while place is not None:
            candidate = self.steps[step][place]
            words.append(candidate.word)
            step, place = step - 1, candidate.parent
        return tuple(reversed(words))


def build_tree(trace: Trace, photo: int, words: list[str]) -> BeamTree:
    """The tree of a photo's search that was run with `keep_tree`, in words of the vocabulary."""
    shown = [_shown(trace, of_step) for of_step in _by_step(trace, photo)]
    fates = _fates(trace, shown)
    steps = []
    for before, candidates in zip([[], *shown], shown, strict=False):
        steps.append(
            tuple(
                Candidate(
                    word=words[trace.tokens[candidate]],
                    parent=before.index(trace.parents[candidate]) if before else None,
                    probability=float(np.exp(trace.log_probabilities[candidate])),
                    log_probability=float(trace.scores[candidate]),
                    fate=fates[candidate],
                    final=bool(trace.final[candidate]),
                    score=trace.score(candidate),
                )
                for candidate in candidates
            )
        )
    return BeamTree(tuple(steps))


def _by_step(trace: Trace, photo: int) -> list[np.ndarray]:
    """The candidates of a photo in each step that it was open for."""
    candidates = np.flatnonzero(trace.photos == photo)
    return np.split(candidates, np.flatnonzero(np.diff(trace.steps[candidates])) + 1)


def _shown(trace: Trace, candidates: np.ndarray) -> list[int]:
    """Those that got a place at their step, and the runners-up."""
    kept = (trace.ended | trace.alive)[candidates].sum()
    # Where places are closed already, more candidates than the runners-up have missed one.
    return [int(each) for each in candidates[: kept + RUNNERS_UP] if np.isfinite(trace.scores[each])]


def _fates(trace: Trace, shown: list[list[int]]) -> dict[int, Fate]:
    """The fate of each candidate."""
    candidates = [candidate for of_step in shown for candidate in of_step]
    kept = trace.ended | trace.alive
    fates = {candidate: Fate.ABANDONED if kept[candidate] else Fate.DROPPED for candidate in candidates}
    finals = sorted((candidate for candidate in candidates if trace.final[candidate]), key=trace.score)
    # The winner last, so that what it shares with others is marked as its own.
    for final in finals:
        fate = Fate.WON if final == finals[-1] else Fate.FINISHED
        fates |= dict.fromkeys(trace.path(final), fate)
    return fates
