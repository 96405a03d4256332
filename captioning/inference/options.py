"""What can be chosen of a search and of a captioner."""

from dataclasses import dataclass

from captioning.settings import check, setting

# Beam widths that are offered on a screen.
BEAM_SIZES = range(1, 11)


@dataclass(frozen=True)
class SearchOptions:
    """How to search.

    Hypotheses are ranked by log-probability / tokens ** length_penalty, where `<end>` counts as a token.

    Raises:
        ValueError: an option has another type, or is out of its range.
    """

    beam_size: int = setting(5, "hypotheses kept a photo; 1 is greedy search", least=1, most=1000)
    max_steps: int = setting(
        30, "tokens after which a hypothesis is ranked as it is, finished or not", least=1, most=1000
    )
    length_penalty: float = setting(
        0.9, "rank captions by log-probability / words ** this; 0 by log-probability alone", least=-10, most=10
    )
    alternatives: int = setting(5, "likeliest words remembered at every step", least=0, most=1000)
    keep_tree: bool = setting(
        False, "remember the search itself, with some continuations that just missed a place at every step"
    )

    def __post_init__(self):
        check(self)

    def score(self, log_probability: float, length: int) -> float:
        """What a hypothesis of `length` tokens is ranked by."""
        return log_probability / length**self.length_penalty
