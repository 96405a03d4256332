"""The player on the page; two of the views show it."""

import streamlit as st
from streamlit.components.v2 import component

from captioning.visualize.player import script, style
from captioning.visualize.screen import source


def show_player(key: str, data: dict) -> None:
    """Show the player; `player/component.js` says which events it reports.

    Args:
        key: of the component.
        data: see `player_data`.
    """
    mount = component(
        "captioning_player",
        html=source("player/player.html"),
        css=style(),
        js=source("report.js") + script() + source("player/component.js"),
    )
    # A list: in a dict Streamlit would look for data frames, and import pandas and Arrow for that (69 MB).
    state = st.session_state
    mount(key=key, data=[data, state.shown, len(state.changes)])


def keep_look(event: dict) -> None:
    """The look that was chosen in the player becomes that of the address and of downloads."""
    st.session_state.look = event["look"]
