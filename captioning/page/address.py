"""The page's address: the part of its state that a link or a reload brings back."""

from collections.abc import Collection, Mapping

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from captioning import SearchOptions
from captioning.errors import shown
from captioning.page.library import BEAM_SIZES, Library, offered_checkpoints
from captioning.page.views import offered_views
from captioning.visualize.attention import LOOKS


def apply_address(library: Library) -> None:
    """Set the page to its address when it is opened or the browser goes back; note what the page cannot show."""
    state, asked = st.session_state, st.query_params.to_dict()
    # Any other run may still bring the address from before the last control was moved.
    run = get_script_run_ctx()
    if "opened" in state and not (run and run.is_history_navigation):
        state.notice = None
        return
    known, state.notice = read_address(asked, offers_of(library, asked.get("split")))
    # Going back to a photo of somebody's own, which no address names, must not take it away.
    if state.get("source") not in ("Upload", "Camera") or known.keys() & {"photo", "split"}:
        state.source = "Data set" if known.get("split") or (library.datasets and "photo" not in known) else "Gallery"
    state.update({name: known[name] for name in ("split", "photo", "checkpoint", "other", "view") if name in known})
    state.beam_size = int(known.get("beam") or SearchOptions().beam_size)
    state.look = known.get("look", next(iter(LOOKS)))
    words = asked.get("say", "").split()[: SearchOptions().max_steps]
    state.said = [words] if words else []
    state.words = ""
    state.shown = None
    # At the end, for this run may be cut short before.
    state.opened = True


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


def write_address() -> None:
    """Put into the address what somebody needs who is to see the same."""
    state = st.session_state
    address = {}
    if state.source == "Data set":
        address["split"] = state.split
    if state.source in ("Gallery", "Data set") and state.get("photo"):
        address["photo"] = state.photo
    address |= {"beam": str(state.beam_size), "checkpoint": state.checkpoint, "view": state.view}
    if state.view == "compare" and state.get("other"):
        address["other"] = state.other
    address["look"] = state.look
    if state.said and "photo" in address:
        address["say"] = " ".join(state.said[-1])
    # Also where it should be there already: the run that was to write it may have been cut short.
    st.query_params.from_dict(address)
