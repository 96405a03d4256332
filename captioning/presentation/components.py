"""The player, the tree and the files to take away as Streamlit components.

All their data are lists: in a dict Streamlit would look for data frames, and import pandas and Arrow for that (69 MB).
"""

import streamlit as st

from captioning.visualize.source import source


def player(*, data: dict, key: str, **hooks):
    """Mount the player on the page; see `player/component.js` for what it reports."""
    code = source("player/player.js") + source("player/component.js")
    component = st.components.v2.component(
        "captioning_player", html=source("player/player.html"), css=source("player/player.css"), js=code
    )
    return component(data=[data], key=key, **hooks)


def beam_tree(*, data: dict, key: str):
    """Mount the drawing of a beam search."""
    component = st.components.v2.component(
        "captioning_tree", html=source("tree/tree.html"), css=source("tree/tree.css"), js=source("tree/tree.js")
    )
    return component(data=[data], key=key)


def hand_over(*, data: list[dict], key: str):
    """Let the browser save files, each once, however often they are handed over.

    A download button of Streamlit forgets what makes its file when the page runs again; a click meanwhile gets nothing.
    """
    component = st.components.v2.component("captioning_hand_over", html="<span></span>", js=source("hand_over.js"))
    return component(data=data, key=key)
