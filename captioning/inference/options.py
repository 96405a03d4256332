"""What can be chosen of a search and of a captioner."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SearchOptions:
    """How to search.

    Attributes:
        beam_size: hypotheses kept a photo; 1 is greedy search.
        max_steps: tokens after which a hypothesis is ranked as it is, finished or not.
        length_penalty: hypotheses are ranked by log-probability / tokens ** length_penalty (`<end>` counts as a
            token); 0 ranks by log-probability alone.
        alternatives: likeliest words remembered at every step.
        keep_tree: remember the search itself, with some continuations that just missed a place at every step.
    """

    beam_size: int = 5
    max_steps: int = 30
    length_penalty: float = 0.9
    alternatives: int = 5
    keep_tree: bool = False

    def score(self, log_probability: float, length: int) -> float:
        """What a hypothesis of `length` tokens is ranked by."""
        return log_probability / length**self.length_penalty
