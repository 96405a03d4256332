"""The comparison: the photo at every beam width, and two checkpoints side by side."""

from collections.abc import Mapping

import streamlit as st

from captioning import Caption
from captioning.checkpoint import checkpoint_fingerprint
from captioning.files import FileFingerprint
from captioning.page.cache import describe, load_player_data
from captioning.page.library import BEAM_SIZES, Photo, offered_checkpoints
from captioning.page.player import show_player
from captioning.page.text import LOG_PROBABILITY, as_markdown, show_training_note
from captioning.visualize.player.data import CaptionPane
from captioning.visualize.screen import number


def show_comparison(checkpoint: FileFingerprint, photo: Photo) -> None:
    """The photo at every beam width, and two checkpoints side by side."""
    show_training_note(checkpoint)
    st.markdown("#### Beam widths", help=f"{LOG_PROBABILITY} The time is that of the search alone.")
    captions = {width: describe(checkpoint, photo, width) for width in BEAM_SIZES}
    st.table(width_rows(captions), hide_index=True)
    st.markdown("#### Checkpoints")
    others = {name: path for name, path in offered_checkpoints().items() if path != checkpoint.path}
    if not others:
        st.info("There is no other checkpoint: put one into checkpoints/ to see two side by side.")
        return
    if st.session_state.get("other") not in others:
        st.session_state.other = next(iter(others))
    other = others[st.selectbox("Beside it", list(others), key="other", persist_state="page")]
    compare_checkpoints(photo, checkpoint, checkpoint_fingerprint(other))


def compare_checkpoints(photo: Photo, *checkpoints: FileFingerprint) -> None:
    found = {
        checkpoint.path.stem: describe(checkpoint, photo, st.session_state.beam_size) for checkpoint in checkpoints
    }
    panes = [
        CaptionPane(caption, name, f"log-probability {number(caption.log_probability)}")
        for name, caption in found.items()
    ]
    show_player("checkpoints", load_player_data(photo, panes))


def width_rows(captions: Mapping[int, Caption]) -> list[dict]:
    """The captions that different beam widths found; the text is Markdown."""
    return [
        {
            "Beam width": str(width),
            "Caption": as_markdown(caption.text),
            "Log-probability": number(caption.log_probability),
            "Search": f"{caption.seconds.search * 1000:.0f} ms",
        }
        for width, caption in captions.items()
    ]
