"""The step-through: the caption word by word, and what follows when something is changed."""

from contextlib import suppress
from dataclasses import replace

import streamlit as st

from captioning import Caption, Captioner
from captioning.errors import CaptioningError
from captioning.files import FileFingerprint
from captioning.page.buttons import Button, show_buttons
from captioning.page.cache import describe, find_what_mattered, load_captioner, load_player_data, prepare
from captioning.page.downloads import show_downloads
from captioning.page.library import Photo
from captioning.page.player import show_player
from captioning.page.sidebar import load_offered, neighbour
from captioning.page.text import LOG_PROBABILITY, as_markdown, show_error, show_training_note
from captioning.page.what_if import WhatIf, current
from captioning.visualize.player.data import CaptionPane
from captioning.visualize.screen import number


def show_steps(checkpoint: FileFingerprint, photo: Photo) -> None:
    """The caption word by word, alone or beside what the model says when something is changed."""
    state = st.session_state
    try:
        panes = captions(checkpoint, photo, current())
    except CaptioningError as error:
        if not state.changes:
            raise
        show_error(error)
        state.changes = state.changes[:-1]
        panes = captions(checkpoint, photo, current())
    data = load_player_data(photo, panes, what_if=checkpoint)
    # What mattered takes a second: it is found for what the player shows, when somebody wants to see it.
    if state.get("probed") == data["id"]:
        panes = [with_what_mattered(checkpoint, photo, pane) for pane in panes]
        data = load_player_data(photo, panes, what_if=checkpoint)
    with st.container(horizontal=True, vertical_alignment="center", key="subject"):
        show_training_note(checkpoint)
        if len(state.titles) > 1:
            show_turns()
        show_downloads(checkpoint, photo, panes)
    if state.changes:
        show_question(current())
    show_player("player", data)
    show_timing(panes[0].caption, load_captioner(checkpoint))


def prepare_next(checkpoint: FileFingerprint, photo: Photo) -> None:
    """Describe the photo that *Next* would show, while the browser draws this one; once for each that is shown."""
    state, title = st.session_state, neighbour(1)
    if title is None or state.get("prepared") == photo.key:
        return
    state.prepared = photo.key
    # Why it cannot be shown is said when it is.
    with suppress(CaptioningError):
        prepare(checkpoint, load_offered(title), state.beam_size)


def show_turns() -> None:
    """The ways to the photos before and after this one."""
    for by, label, help in ((-1, "Previous", "The photo before (P)"), (1, "Next", "The next photo (N)")):
        show_buttons(f"turn {by}", [Button(label, {"name": "turn", "by": by}, help)], width="content")


def captions(checkpoint: FileFingerprint, photo: Photo, asked: WhatIf) -> list[CaptionPane]:
    """The caption, and beside it the one that follows from a change.

    Raises:
        CaptioningError: it is none that the model can follow.
    """
    width = st.session_state.beam_size
    plain = describe(checkpoint, photo, width)
    if asked == WhatIf():
        return [CaptionPane(plain)]
    other = describe(checkpoint, asked.seen(photo), width, asked.said)
    notes = [f"log-probability {number(caption.log_probability)}" for caption in (plain, other)]
    vocabulary = load_captioner(checkpoint).info.vocabulary
    if not asked.hidden and was_dropped(plain, other) and not vocabulary.repeats(other.text.split()):
        notes[1] += f", likelier than what it said: the search dropped it at width {width}"
    return [
        CaptionPane(plain, "What it said", notes[0]),
        CaptionPane(other, "What it says then", notes[1], forced=len(asked.said), hidden=asked.hidden),
    ]


def was_dropped(found: Caption, other: Caption) -> bool:
    """Whether the search would have said another caption of the photo, had it kept its beginning."""
    likelier = other.log_probability > found.log_probability
    return likelier and other.hypotheses[0].score > found.hypotheses[0].score


def with_what_mattered(checkpoint: FileFingerprint, photo: Photo, pane: CaptionPane) -> CaptionPane:
    seen = WhatIf(hidden=pane.hidden).seen(photo)
    return replace(pane, occlusion=find_what_mattered(checkpoint, seen, pane.caption))


def find_out(event: dict) -> None:
    """Find what mattered for what the player shows."""
    st.session_state.probed = event["data"]


def show_question(asked: WhatIf) -> None:
    """What was changed, and the ways back."""
    with st.container(horizontal=True, vertical_alignment="center"):
        left = len(st.session_state.changes) - 1
        show_buttons("undo", [Button("Undo", {"name": "undo", "left": left})], width="content")
        if left:
            show_buttons("back", [Button("Back to its own caption", {"name": "undo", "left": 0})], width="content")
        st.markdown(as_markdown(asked.question()), help=LOG_PROBABILITY)


def show_timing(caption: Caption, captioner: Captioner) -> None:
    encode, search = round(caption.seconds.encode * 1000), round(caption.seconds.search * 1000)
    st.caption(
        f"{captioner.runtime.describe()} · encoded in {encode} ms · searched in {search} ms · "
        f"log-probability {number(caption.log_probability)}",
        help=f"The encoder turns the photo into a feature grid, once; the search finds the caption. {LOG_PROBABILITY}",
    )
