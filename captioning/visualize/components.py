"""The player and the tree as Streamlit components."""

from pathlib import Path

import streamlit as st

_FOLDER = Path(__file__).parent


def player(*, data: dict, key: str, **hooks):
    """Mount the player on the page; see `player/component.js` for what it reports."""
    code = _read("player/player.js") + _read("player/component.js")
    component = st.components.v2.component(
        "captioning_player", html=_read("player/player.html"), css=_read("player/player.css"), js=code
    )
    return component(data=data, key=key, **hooks)


def beam_tree(*, data: dict, key: str):
    """Mount the drawing of a beam search."""
    component = st.components.v2.component(
        "captioning_tree", html=_read("tree/tree.html"), css=_read("tree/tree.css"), js=_read("tree/tree.js")
    )
    return component(data=data, key=key)


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
