"""What is known of many photos: a caption of each and how sure the model is of it, kept to search and order them by."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from captioning import ImageError, SearchOptions, open_image
from captioning.data.datasets import Example
from captioning.files import FileFingerprint
from captioning.page.cache import identify_path, load_captioner, load_thumbnail
from captioning.vocabulary import tokenize

# Of one checkpoint and beam width.
MOST_KEPT = 10_000
# The ways to order photos, and the sign that sureness has then.
ORDERS = {"As they come": 0, "Surest first": -1, "Least sure first": 1}


@dataclass(frozen=True)
class Summary:
    """A photo's caption, or why it cannot be read, and how sure the model is; see `Caption.sureness`."""

    text: str
    sureness: float | None = None


class Summaries:
    """Summaries of photos by their files; of a file that is replaced there is none. The oldest are dropped."""

    def __init__(self):
        self._kept: dict[tuple, Summary] = {}

    def __getitem__(self, path: Path) -> Summary | None:
        return self._kept.get(identify_path(path))

    def __setitem__(self, path: Path, summary: Summary) -> None:
        if len(self._kept) >= MOST_KEPT:
            self._kept.pop(next(iter(self._kept)), None)
        self._kept[identify_path(path)] = summary


@st.cache_resource(max_entries=4, show_spinner=False)
def load_summaries(checkpoint: FileFingerprint, beam_size: int) -> Summaries:
    """Those that all sessions have made."""
    return Summaries()


def summarise(checkpoint: FileFingerprint, beam_size: int, paths: Iterable[Path]) -> None:
    """Describe photos and keep what is found, and their thumbnails."""
    captioner, known = load_captioner(checkpoint), load_summaries(checkpoint, beam_size)
    for path in paths:
        try:
            caption = captioner(open_image(path), SearchOptions(beam_size=beam_size))
            known[path] = Summary(caption.text, caption.sureness)
        except ImageError as error:
            known[path] = Summary(str(error))
        load_thumbnail(path)


def search(offered: Mapping[str, Example], known: Summaries, words: str) -> list[str]:
    """Titles of the photos that have all these words in their title, or in their captions taken together."""
    wanted = words.lower().split()
    return [title for title, example in offered.items() if not wanted or _has(title, example, known, wanted)]


def _has(title: str, example: Example, known: Summaries, wanted: list[str]) -> bool:
    summary = known[example.photo]
    said = set(tokenize(" ".join([*example.captions, summary.text if summary else ""])))
    return all(word in title.lower() or said.issuperset(tokenize(word)) for word in wanted)


def ordered(titles: Iterable[str], offered: Mapping[str, Example], known: Summaries, order: str) -> list[str]:
    """The titles in one of ORDERS; those last that nothing is known of."""
    sign = ORDERS[order]

    def place(title: str) -> tuple[bool, float]:
        summary = known[offered[title].photo]
        sureness = summary.sureness if summary else None
        return (True, 0) if sureness is None else (False, sign * sureness)

    return sorted(titles, key=place) if sign else list(titles)
