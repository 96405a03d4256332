"""Text that several regions of the page show."""

import re
from collections.abc import Iterable, Sequence

import streamlit as st

from captioning.errors import CaptioningError, printable
from captioning.files import FileFingerprint
from captioning.page.cache import load_captioner

LOG_PROBABILITY = (
    "Log-probability is the logarithm of a caption's probability, which is that of its words multiplied; "
    "nearer to 0 is likelier."
)
BLEU = "BLEU-n: how many sequences of up to n words the captions share with those that people wrote; 0 to 100."


def as_markdown(text: str) -> str:
    """The text on one line, escaped so that Markdown takes none of it for markup, an address or a picture."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", printable(" ".join(text.split())))


def with_marks(words: Sequence[str], marked: Iterable[bool]) -> str:
    """Words as Markdown, some marked; `page.css` draws the marks below a container whose key begins with `marked`."""
    shown = map(as_markdown, words)
    return " ".join(f"**{word}**" if mark else word for word, mark in zip(shown, marked, strict=True))


def show_error(error: CaptioningError) -> None:
    st.error(as_markdown(str(error)), icon=":material/error:")


def show_training_note(checkpoint: FileFingerprint) -> None:
    """Say what the model has seen in its training."""
    datasets = load_captioner(checkpoint).info.training.datasets
    name = " and ".join(dataset.name for dataset in datasets) or "an unnamed data set"
    people = " of people, dogs and the outdoors" if name.startswith("Flickr") and len(datasets) == 1 else ""
    photos = sum(dataset.train for dataset in datasets)
    learned = f"trained on {photos:,} photos{people} ({as_markdown(name)})"
    st.caption(f"A neural network describes a photo, and shows where it looks for each word. It was {learned}.")
