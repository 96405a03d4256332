"""The step-through: the caption word by word, and what follows when the model is made to say another word."""

import streamlit as st

from captioning import Caption, Captioner
from captioning.errors import CaptioningError
from captioning.files import FileFingerprint
from captioning.page.buttons import Button, show_buttons
from captioning.page.cache import describe, load_captioner, load_player_data
from captioning.page.downloads import show_downloads
from captioning.page.events import choose
from captioning.page.library import Photo
from captioning.page.player import show_player
from captioning.page.text import LOG_PROBABILITY, as_markdown, show_error, show_training_note
from captioning.visualize.player.data import CaptionPane
from captioning.visualize.screen import number, spoken


def show_steps(checkpoint: FileFingerprint, photo: Photo) -> None:
    """The caption word by word, alone or beside what the model says when it is made to say another word."""
    state = st.session_state
    plain = describe(checkpoint, photo, state.beam_size)
    panes = [CaptionPane(plain)]
    try:
        if state.said:
            panes = what_if(plain, describe(checkpoint, photo, state.beam_size, tuple(state.said[-1])), state.said[-1])
    except CaptioningError as error:
        show_error(error)
        state.said.clear()
    with st.container(horizontal=True, vertical_alignment="center", key="subject"):
        show_training_note(checkpoint)
        show_downloads(checkpoint, photo, panes)
    if state.said:
        show_question(state.said)
    show_player("player", load_player_data(photo, panes, what_if=True))
    show_timing(plain, load_captioner(checkpoint))


def say_instead(event: dict) -> None:
    """Have the model begin with other words."""
    state, words = st.session_state, event["words"]
    # The player may still show another photo or model's caption; and a double click sends the words twice.
    if event["about"] == state.shown and state.said[-1:] != [words]:
        state.said = [*state.said, words]
        choose("view", "step")


def what_if(plain: Caption, other: Caption, prefix: list[str]) -> list[CaptionPane]:
    """The caption, and beside it the one that follows from another word."""
    return [
        CaptionPane(plain, "What it said", f"log-probability {number(plain.log_probability)}"),
        CaptionPane(other, "What it says then", f"log-probability {number(other.log_probability)}", forced=len(prefix)),
    ]


def show_question(said: list[list[str]]) -> None:
    """What the model was made to say, and the way back."""
    prefix = said[-1]
    words = " ".join(prefix[:-1])
    place = f"after “{words}”" if words else "at the beginning"
    with st.container(horizontal=True, vertical_alignment="center"):
        show_buttons("undo", [Button("Undo", {"name": "undo", "left": len(said) - 1})], width="content")
        st.markdown(as_markdown(f"What if it said “{spoken(prefix[-1])}” {place}?"), help=LOG_PROBABILITY)


def undo(event: dict) -> None:
    """Take back what the model was made to say last; a double click takes back no more."""
    st.session_state.said = st.session_state.said[: event["left"]]


def show_timing(caption: Caption, captioner: Captioner) -> None:
    encode, search = round(caption.seconds.encode * 1000), round(caption.seconds.search * 1000)
    st.caption(
        f"{captioner.runtime.describe()} · encoded in {encode} ms · searched in {search} ms · "
        f"log-probability {number(caption.log_probability)}",
        help=f"The encoder turns the photo into a feature grid, once; the search finds the caption. {LOG_PROBABILITY}",
    )
