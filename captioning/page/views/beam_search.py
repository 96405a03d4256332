"""The beam search: its tree and its final hypotheses."""

import streamlit as st
from streamlit.components.v2 import component

from captioning import Caption, SearchOptions
from captioning.files import FileFingerprint
from captioning.page.cache import describe
from captioning.page.library import Photo
from captioning.page.text import LOG_PROBABILITY, as_markdown, show_training_note
from captioning.visualize.screen import number, source
from captioning.visualize.tree import describe_tree

BEAM_SEARCH = (
    "At each step every kept prefix is continued by every word, and the best of them all, as many as the beam is wide, "
    "are kept. The number in a box is the log-probability of the whole prefix."
)
SCORE = (
    "What the final hypotheses are ranked by: log-probability / length ^ {}, the length-normalised log-probability. "
    "Without it short captions would win, for every word more makes a caption less likely."
)


def show_search(checkpoint: FileFingerprint, photo: Photo) -> None:
    """The tree of the search, and what it ended with."""
    show_training_note(checkpoint)
    caption = describe(checkpoint, photo, st.session_state.beam_size)
    st.markdown(f"#### Beam search at width {st.session_state.beam_size}", help=f"{BEAM_SEARCH} {LOG_PROBABILITY}")
    show_tree(describe_tree(caption.tree))
    st.markdown("#### Final hypotheses", help=SCORE.format(SearchOptions().length_penalty))
    st.table(hypothesis_rows(caption), hide_index=True)


def show_tree(tree: dict) -> None:
    mount = component(
        "captioning_tree",
        html=source("tree/tree.html"),
        css=source("tree/tree.css"),
        js=source("report.js") + source("tree/tree.js"),
    )
    # A list; see `show_player`.
    mount(key="tree", data=[tree, st.session_state.shown, st.session_state.beam_size])


def hypothesis_rows(caption: Caption) -> list[dict]:
    """The final hypotheses, best first; the text is Markdown."""
    return [
        {
            "Rank": str(rank),
            "Caption": as_markdown(found.text),
            "Log-probability": number(found.log_probability),
            "Length-normalised score": number(found.score, 3),
        }
        for rank, found in enumerate(caption.hypotheses, start=1)
    ]
