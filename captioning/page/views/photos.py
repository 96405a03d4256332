"""Many photos at once, each with its caption; a click steps through it."""

from collections.abc import Sequence
from math import ceil
from pathlib import Path

import streamlit as st

from captioning.errors import CaptioningError
from captioning.files import FileFingerprint
from captioning.page.buttons import Button, show_buttons
from captioning.page.cache import load_thumbnail
from captioning.page.events import choose
from captioning.page.library import Photo
from captioning.page.summaries import ORDERS, Summaries, load_summaries, summarise
from captioning.page.text import show_error

PER_PAGE = 24
# Described before the page is shown again; what somebody does meanwhile waits for one of the groups.
GROUP = 2
SECONDS_BETWEEN = 0.1
# The photos that are described to be searched or ordered.
MOST_DESCRIBED = 2000


def show_photos(checkpoint: FileFingerprint, photo: Photo | None) -> None:
    """A page of the photos that were found; captions are made for it, and for all if they decide what is found."""
    state = st.session_state
    if not state.titles:
        st.info("These are the photos of a gallery or a data set: choose one in the bar on the left.")
        return
    known = state.known = load_summaries(checkpoint, state.beam_size)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        order = st.segmented_control("Order", list(ORDERS), key="order", default=next(iter(ORDERS)), required=True,
                                     label_visibility="collapsed", persist_state="page")  # fmt: skip
        progress = st.container(width="content")
        # Other photos begin at their first page.
        key = f"page {order} {state.get('words')}"
        page = st.pagination(ceil(len(state.titles) / PER_PAGE), key=key, persist_state="page")
    titles = state.titles[(page - 1) * PER_PAGE : page * PER_PAGE]
    show_grid(titles, known)
    decide = state.get("words") or ORDERS[order]
    wanted = dict.fromkeys([*titles, *(state.offered if decide else ())])
    paths = [state.offered[title].photo for title in wanted][:MOST_DESCRIBED]
    if missing_of(paths, known):
        with progress:
            st.fragment(describe_more, run_every=SECONDS_BETWEEN)(checkpoint, paths, known)


def show_grid(titles: Sequence[str], known: Summaries) -> None:
    """A thumbnail and a caption of each photo that is described, and the names of the others."""
    buttons = []
    for title in titles:
        path = st.session_state.offered[title].photo
        summary, event = known[path], {"name": "pick", "photo": title}
        picture = (load_thumbnail(path) if summary else None) or ""
        buttons.append(Button(summary.text if summary else title, event, title, picture))
    show_buttons("grid", buttons)


def missing_of(paths: Sequence[Path], known: Summaries) -> list[Path]:
    return [path for path in paths if not known[path]]


def describe_more(checkpoint: FileFingerprint, paths: Sequence[Path], known: Summaries) -> None:
    """Describe the next photos, and show the page again when it has more of them, or a better order."""
    missing = missing_of(paths, known)
    st.caption(f"{len(missing):,} more to describe …")
    try:
        summarise(checkpoint, st.session_state.beam_size, missing[:GROUP])
    except CaptioningError as error:
        # Nothing else reports it when the fragment runs alone.
        show_error(error)
        return
    left = len(missing[GROUP:])
    # The photos of the page come first. Somebody else may have described all by now.
    if not left or left % (2 * GROUP if missing[0] in paths[:PER_PAGE] else PER_PAGE) < GROUP:
        st.rerun()


def pick(event: dict) -> None:
    """Step through the caption of a photo."""
    choose("photo", event["photo"])
    choose("view", "step")
