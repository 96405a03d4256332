"""The way to the page without a server, for an audience with phones: its address as a QR code."""

import io

import streamlit as st

from captioning.page.buttons import Button, show_buttons
from captioning.page.text import as_markdown

TITLE = "Let the audience try"
# Pixels of the code, so that its address is in sight below it on a laptop; and of each of its squares in the file.
SIZE, SCALE = 520, 20


def offer_site(address: str) -> None:
    """A button that shows the code over the page."""
    show_buttons("audience", [Button(TITLE, {"name": "audience"})])
    if st.session_state.get("audience_asked"):
        _show_code(address)
        st.session_state.audience_asked = False


def ask_for_site(event: dict) -> None:
    """Show the code in this run."""
    st.session_state.audience_asked = True


@st.dialog(TITLE, width="medium")
def _show_code(address: str) -> None:
    # Here, so that the page does not wait for what most never ask for.
    import segno

    file = io.BytesIO()
    segno.make(address, micro=False).save(file, kind="png", scale=SCALE)
    with st.container(horizontal_alignment="center"):
        st.image(file.getvalue(), alt=f"QR code of {address}", width=SIZE)
        st.markdown(f"[{as_markdown(address)}]({address})", text_alignment="center")
        st.caption("The model runs on their phones: photos are not sent anywhere.", text_alignment="center")
