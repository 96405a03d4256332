"""The player on the page; two of the views show it."""

from typing import Any

import streamlit as st
from streamlit.components.v2 import component

from captioning.visualize.player import script
from captioning.visualize.screen import source


def show_player(key: str, data: dict, **hooks: Any) -> None:
    """Show the player; `player/component.js` says what it reports.

    The look that is chosen in it becomes that of the address and of downloads.

    Args:
        key: of the component.
        data: see `player_data`.
        hooks: functions to call when it reports something, `on_…_change`.
    """

    def keep_look() -> None:
        chosen = st.session_state[key]["look"]
        if chosen:
            st.session_state.look = chosen[0]

    mount = component(
        "captioning_player",
        html=source("player/player.html"),
        css=source("player/player.css"),
        js=script() + source("player/component.js"),
    )
    # A list: in a dict Streamlit would look for data frames, and import pandas and Arrow for that (69 MB).
    mount(key=key, data=[data], on_look_change=keep_look, **hooks)
