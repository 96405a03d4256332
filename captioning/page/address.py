"""The page's address: the part of its state that a link, a reload, or going back and forward brings back.

Streamlit's own `bind="query-params"` is not used: it drops without a word what a widget cannot show, and leaves out
whatever is the default, so that a link would change its meaning with the default.
"""

from collections.abc import Collection, Mapping
from urllib.parse import parse_qsl

import streamlit as st

from captioning import SearchOptions
from captioning.errors import RectangleError, shown
from captioning.inference.options import BEAM_SIZES
from captioning.page.events import choose
from captioning.page.library import Library, offered_checkpoints
from captioning.page.views import offered_views
from captioning.page.what_if import address_of, change, current, read_what_if
from captioning.visualize.looks import LOOKS


def open_address(library: Library) -> None:
    """Set the page to its address when it is opened."""
    state = st.session_state
    state.notice = None
    if "opened" not in state:
        follow_address(library, st.query_params.to_dict())
        # At the end, for this run may be cut short before.
        state.opened = True


def go(event: dict, library: Library) -> None:
    """Set the page to the address that somebody went back or forward to."""
    asked = dict(parse_qsl(event["address"].removeprefix("?"), keep_blank_values=True))
    st.session_state.channel.address = asked
    # What stands behind the # is the player's; the page itself may be where it should.
    if asked != page_address():
        follow_address(library, asked)


def follow_address(library: Library, asked: Mapping[str, str]) -> None:
    """Set the page to an address; note what the page cannot show."""
    state = st.session_state
    known, state.notice = read_address(asked, offers_of(library, asked.get("split")))
    # Going back to a photo of somebody's own, which no address names, must not take it away.
    if state.get("source") not in ("Upload", "Camera") or known.keys() & {"photo", "split"}:
        in_dataset = known.get("split") or (library.datasets and "photo" not in known)
        choose("source", "Data set" if in_dataset else "Gallery")
    for name in ("split", "photo", "checkpoint", "other", "view"):
        if name in known:
            choose(name, known[name])
    state.beam_size = int(known.get("beam") or SearchOptions().beam_size)
    choose("words", "")
    state.look = known.get("look", next(iter(LOOKS)))
    state.changes = []
    try:
        change(read_what_if(asked.get("say", ""), asked.get("hide", "")))
    except RectangleError as error:
        state.notice = str(error)
    state.shown = None


def offers_of(library: Library, split: str | None) -> dict[str, Collection[str]]:
    """For each parameter of the address the values that it can have.

    Args:
        library: the photos on offer.
        split: the split that the address asks for; without one the photos are those of the gallery.
    """
    checkpoints = offered_checkpoints()
    return {
        "split": library.splits,
        "photo": library.examples(split) if split in library.splits else library.gallery,
        "beam": [str(width) for width in BEAM_SIZES],
        "checkpoint": checkpoints,
        "other": checkpoints,
        "view": offered_views(library),
        "look": LOOKS,
    }


def read_address(asked: Mapping[str, str], offers: Mapping[str, Collection[str]]) -> tuple[dict[str, str], str]:
    """The parameters that the page can follow, and a sentence that names the others (empty if there are none).

    Args:
        asked: the parameters of the address; those that the page does not know are ignored.
        offers: for each parameter of the page the values that it can have.
    """
    known = {name: value for name, value in asked.items() if value in offers.get(name, ())}
    missing = [f"{name} “{shown(asked[name])}”" for name in offers if name in asked and name not in known]
    notice = f"The address asks for what is not here ({', '.join(missing)}): you see the default." if missing else ""
    return known, notice


def page_address() -> dict[str, str]:
    """What somebody needs who is to see the same."""
    state = st.session_state
    address = {}
    if state.source == "Data set":
        address["split"] = state.split
    if state.source in ("Gallery", "Data set") and state.get("photo"):
        address["photo"] = state.photo
    address |= {"beam": str(state.beam_size), "checkpoint": state.get("checkpoint"), "view": state.get("view")}
    if address["view"] == "compare" and state.get("other"):
        address["other"] = state.other
    address["look"] = state.look
    if "photo" in address:
        address |= address_of(current())
    return address


def send_again(event: dict) -> None:
    """Send the address to a browser that has not got it.

    Streamlit drops what a run has sent last, if a request for another comes while that run ends.
    """
    st.session_state.channel.address = None


def write_address() -> None:
    """Send it to a browser that has another: one that went somewhere meanwhile would lose its way forward."""
    channel, address = st.session_state.channel, page_address()
    if address != channel.address:
        st.query_params.from_dict(address)
        channel.address = address
