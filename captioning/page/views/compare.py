"""The comparison: the photo at every beam width, and two checkpoints side by side."""

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher

import streamlit as st

from captioning import Caption
from captioning.checkpoint import checkpoint_fingerprint
from captioning.files import FileFingerprint
from captioning.inference.options import BEAM_SIZES
from captioning.page.buttons import Button, show_buttons
from captioning.page.cache import describe, load_player_data
from captioning.page.events import choose
from captioning.page.library import Photo, offered_checkpoints
from captioning.page.player import show_player
from captioning.page.sidebar import choose_width
from captioning.page.text import LOG_PROBABILITY, show_training_note, with_marks
from captioning.visualize.player.data import CaptionPane
from captioning.visualize.screen import number


def show_comparison(checkpoint: FileFingerprint, photo: Photo) -> None:
    """The photo at every beam width, and two checkpoints side by side."""
    show_training_note(checkpoint)
    show_widths({width: describe(checkpoint, photo, width) for width in BEAM_SIZES})
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


def show_widths(captions: Mapping[int, Caption]) -> None:
    """Each caption once, with the beam widths that find it, and marks at what the first has not; a click opens one."""
    found: dict[str, list[int]] = {}
    for width, caption in captions.items():
        found.setdefault(caption.text, []).append(width)
    first, *others = found
    count = f"{len(found)} captions; words that the first has not are marked" if others else "one caption"
    st.markdown(
        f"#### Beam widths {BEAM_SIZES[0]} to {BEAM_SIZES[-1]}: {count}",
        help=f"{LOG_PROBABILITY} The time is that of the search alone.",
    )
    with st.container(key="marked widths"):
        for text, widths in found.items():
            with st.container(horizontal=True, vertical_alignment="center"):
                event = {"name": "open", "width": widths[0]}
                show_buttons(
                    f"open {widths[0]}", [Button(describe_widths(widths), event, "Step through it")], width=150
                )
                words = text.split()
                st.markdown(with_marks(words, _new_words(words, first.split())), width="content")
                times = [round(captions[width].seconds.search * 1000) for width in widths]
                fastest, slowest = min(times), max(times)
                took = f"{fastest} to {slowest} ms" if fastest < slowest else f"{fastest} ms"
                likelihood = number(captions[widths[0]].log_probability)
                st.caption(f"log-probability {likelihood} · {took}", width="content")


def describe_widths(widths: Sequence[int]) -> str:
    """Beam widths as words: `Width 1`, `Widths 2 to 5, 7`."""
    ranges = []
    for width in widths:
        if ranges and width == ranges[-1][-1] + 1:
            ranges[-1].append(width)
        else:
            ranges.append([width])
    shown = ", ".join(f"{each[0]} to {each[-1]}" if len(each) > 1 else str(each[0]) for each in ranges)
    return f"Width{'s' if len(widths) > 1 else ''} {shown}"


def open_width(event: dict) -> None:
    """Step through the caption of a beam width."""
    choose_width(event)
    choose("view", "step")


def _new_words(words: Sequence[str], others: Sequence[str]) -> list[bool]:
    """For each word whether it is new beside another caption, of which as much as possible is taken to be the same."""
    new = [True] * len(words)
    for _, start, count in SequenceMatcher(a=others, b=words, autojunk=False).get_matching_blocks():
        new[start : start + count] = [False] * count
    return new
