"""A caption with the reasons for it."""

from dataclasses import asdict, dataclass, field

import numpy as np

import captioning
from captioning.hiding import Rectangle
from captioning.images import PhotoSource
from captioning.inference.beam_tree import BeamTree
from captioning.inference.runtime import Runtime


@dataclass(frozen=True, eq=False)
class Step:
    """One word of a caption.

    Attributes:
        word: what was said; `<end>` where the caption ends.
        probability: of the word, given the words before it.
        attention: where the model looked for it, (rows, columns) float32 summing to 1.
        alternatives: the likeliest words at this step with their probabilities, best first.
        end: whether this is the end of the caption and no word of it.
    """

    word: str
    probability: float
    attention: np.ndarray
    alternatives: tuple[tuple[str, float], ...]
    end: bool = False

    def __eq__(self, other: object) -> bool:
        return self._values() == other._values() if isinstance(other, Step) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._values())

    def _values(self) -> tuple:
        """All of it, the attention as bytes, for arrays are compared number by number."""
        return self.word, self.probability, self.attention.tobytes(), self.alternatives, self.end


@dataclass(frozen=True)
class RankedCaption:
    """A final hypothesis of the search: its text, log-probability (nats) and the score it was ranked by."""

    text: str
    log_probability: float
    score: float


@dataclass(frozen=True)
class Seconds:
    """What a caption took; of photos captioned together, each one's share."""

    encode: float
    search: float


@dataclass(frozen=True)
class Caption:
    """The best hypothesis of a search, step by step; captions are equal whatever they took.

    Attributes:
        steps: its words, `<end>` last unless the step limit cut it off.
        hypotheses: all final hypotheses, best first; the first is this caption.
        seconds: what it took.
        runtime: what computed it.
        sureness: on how many of the photos of dev the model was less sure, in percent; None for a checkpoint that was
            not scored, and for a caption that was made to begin with some words.
        tree: the search itself, if it was asked to be kept.
        photo, hidden: what a `Captioner` was called with, of a file what was in it; None and nothing where it was asked
            for captions in another way.
    """

    steps: tuple[Step, ...]
    hypotheses: tuple[RankedCaption, ...]
    seconds: Seconds = field(compare=False)
    runtime: Runtime
    sureness: float | None = None
    tree: BeamTree | None = None
    photo: PhotoSource | None = field(default=None, compare=False, repr=False)
    hidden: tuple[Rectangle, ...] = field(default=(), compare=False)

    @property
    def text(self) -> str:
        return self.hypotheses[0].text

    @property
    def log_probability(self) -> float:
        return self.hypotheses[0].log_probability

    def _repr_html_(self) -> str | None:
        # By its public name, for drawing builds on this wing, and not the other way round.
        return captioning.notebook_html(self)

    def as_dict(self) -> dict:
        """What `python -m captioning caption --json` prints, but for the photo's name."""
        return {
            "caption": self.text,
            "log_probability": self.log_probability,
            "sureness": None if self.sureness is None else round(self.sureness, 1),
            "words": [_step_as_dict(step) for step in self.steps],
            "hypotheses": [
                {"caption": hypothesis.text, "log_probability": hypothesis.log_probability}
                for hypothesis in self.hypotheses
            ],
            "seconds": {"encode": round(self.seconds.encode, 4), "search": round(self.seconds.search, 4)},
            "runtime": asdict(self.runtime),
        }


def _step_as_dict(step: Step) -> dict:
    fields = {
        "word": step.word,
        "probability": step.probability,
        "attention": step.attention.tolist(),
        "alternatives": [list(alternative) for alternative in step.alternatives],
    }
    return fields | {"end": True} if step.end else fields
