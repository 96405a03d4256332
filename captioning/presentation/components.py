"""The player and the tree as Streamlit components."""

import streamlit as st

from captioning.visualize.source import source


def player(*, data: dict, key: str, **hooks):
    """Mount the player on the page; see `player/component.js` for what it reports."""
    code = source("player/player.js") + source("player/component.js")
    component = st.components.v2.component(
        "captioning_player", html=source("player/player.html"), css=source("player/player.css"), js=code
    )
    return component(data=data, key=key, **hooks)


def beam_tree(*, data: dict, key: str):
    """Mount the drawing of a beam search."""
    component = st.components.v2.component(
        "captioning_tree", html=source("tree/tree.html"), css=source("tree/tree.css"), js=source("tree/tree.js")
    )
    return component(data=data, key=key)
