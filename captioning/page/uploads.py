"""Photos of somebody's own: uploaded, dropped or pasted anywhere on the page, or taken with the camera."""

from urllib.parse import urlsplit

import streamlit as st

from captioning.errors import ImageError
from captioning.page.cache import load_photo
from captioning.page.events import choose, run_script
from captioning.page.library import Photo

CAMERA_NEEDS = "Browsers let a page use the camera over HTTPS or on localhost only. A photo can be uploaded over any."


def accept_drops() -> None:
    """Have the browser hand dropped and pasted files to the uploader, and take out of it what was read."""
    run_script("drops", st.session_state.get("read", ["", ""]))


def offer_upload(event: dict) -> None:
    """Show the uploader, for which a file waits in the browser."""
    choose("source", "Upload")


def provide_photo(source: str) -> Photo | None:
    """An upload, or a photo from the camera; the last one is kept while other photos are looked at.

    Raises:
        ImageError: the file cannot be read; again until another file or another source is chosen.
    """
    if source == "Upload":
        if st.session_state.get("upload") is None:
            # Streamlit keeps the file that was there a run before, until a run begins.
            st.session_state.pop("upload", None)
        # Files of any kind, so that the message for what is no photo is the project's and not Streamlit's.
        file = st.file_uploader("Your photo, also dropped or pasted", key="upload", help="It stays in memory.")
    else:
        if not may_use_camera():
            st.info(CAMERA_NEEDS)
        file = st.camera_input("Take a photo", key="camera", help=CAMERA_NEEDS)
    st.caption("A photo of your own is not in the page's address: a link or a reload cannot bring it back.")
    state = st.session_state
    own = state.setdefault("own", {})
    if file:
        # The browser takes it out of the uploader now, whether it is a photo or not.
        state.read = [file.file_id, file.name]
        state.refused = {}
        try:
            own[source] = load_photo(file.name, file.getvalue(), ())
        except ImageError as error:
            state.refused = {source: str(error)}
    if source in state.setdefault("refused", {}):
        raise ImageError(state.refused[source])
    return own.get(source)


def forget_refused(source: str) -> None:
    """Say no more that a file was no photo, if another source is chosen now."""
    if source not in st.session_state.get("refused", {}):
        st.session_state.refused = {}


def may_use_camera() -> bool:
    """Whether browsers let this page use the camera."""
    address = urlsplit(st.context.url or "")
    return address.scheme != "http" or address.hostname in ("localhost", "127.0.0.1", "::1")
