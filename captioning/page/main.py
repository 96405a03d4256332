"""The outline of the page: a sidebar to choose in, and one of several views of the caption."""

import re
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from functools import partial
from pathlib import Path
from typing import NoReturn

import streamlit as st

from captioning.errors import CaptioningError, DatasetError
from captioning.files import FileFingerprint
from captioning.page.address import go, open_address, send_again, write_address
from captioning.page.audience import ask_for_site, offer_site
from captioning.page.cache import load_dataset
from captioning.page.downloads import forget, request, send_downloads
from captioning.page.events import forget_choices, new_events, open_channel, settle
from captioning.page.gallery import folder_photos, sample_photos
from captioning.page.library import Library, Photo
from captioning.page.player import keep_look
from captioning.page.process import is_quiet, running, set_up_process
from captioning.page.sidebar import (
    choose_any,
    choose_beam_width,
    choose_checkpoint,
    choose_photo,
    choose_title,
    choose_width,
    close_on_phones,
    turn,
)
from captioning.page.text import as_markdown, show_error
from captioning.page.uploads import accept_drops, offer_upload
from captioning.page.views import VIEWS, offered_views
from captioning.page.views.compare import open_width
from captioning.page.views.photos import pick
from captioning.page.views.step_through import find_out, prepare_next
from captioning.page.what_if import follow_change, undo

TITLE = "Show, Attend and Tell"
STYLE = Path(__file__).parent / "style"


@running()
def show_page() -> None:
    """Show the page; Streamlit calls it again after everything that somebody does on the page."""
    set_up_process()
    st.set_page_config(TITLE, page_icon=STYLE / "icon.png", layout="wide")
    st.html(STYLE / "page.css")
    try:
        open_channel()
        arguments = page_arguments()
        library = load_library(arguments)
        open_address(library)
        waits = apply_events(library)
        with st.sidebar:
            photo = choose_photo(library)
            choose_beam_width()
            checkpoint = choose_checkpoint()
            if arguments.site:
                offer_site(arguments.site)
        accept_drops()
        close_on_phones(photo)
        view = choose_view(library)
        if st.session_state.notice:
            st.warning(as_markdown(st.session_state.notice), icon=":material/link_off:")
        if photo:
            st.set_page_config(f"{photo.title} · {TITLE}")
            reset_what_if(checkpoint, photo)
        if photo or VIEWS[view].without_photo:
            VIEWS[view].show(checkpoint, photo)  # pyright: ignore[reportArgumentType] (these views need no photo)
        else:
            st.info("Choose a photo in the bar on the left to see how the model describes it.")
        send_downloads()
        write_address()
        settle()
        if waits:
            st.rerun()
        if photo and view == "step" and is_quiet():
            prepare_next(checkpoint, photo)
    except CaptioningError as error:
        show_error(error)
        forget_choices()
        settle()


def apply_events(library: Library) -> bool:
    """Do what somebody has asked for with the page's own components; whether some of it waits for the next run."""
    actions = {
        "change": follow_change,
        "undo": undo,
        "probe": find_out,
        "open": open_width,
        "audience": ask_for_site,
        "look": keep_look,
        "upload": offer_upload,
        "photo": choose_title,
        "width": choose_width,
        "turn": turn,
        "pick": pick,
        "random": choose_any,
        "download": request,
        "saved": forget,
        "went": partial(go, library=library),
        "astray": send_again,
    }
    channel = st.session_state.channel
    for event in new_events():
        if event["name"] == "download" and not channel.settled:
            # The file is of what this run is the first to show.
            return True
        channel.settled &= event["name"] in ("download", "saved")
        actions[event["name"]](event)
    return False


class PageParser(ArgumentParser):
    """An argument parser whose errors are shown on the page, where the command that started the app is not visible."""

    def error(self, message: str) -> NoReturn:
        raise CaptioningError(
            f"The app was started with something it does not know ({message}): use --photos DIR, --data DIR DIR … "
            "or --site URL, and nothing else."
        )


def page_arguments() -> Namespace:
    """The arguments after `streamlit run app.py --`.

    Raises:
        CaptioningError: the app does not know one of them.
    """
    parser = PageParser(add_help=False)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--data", type=Path, nargs="+", default=[])
    parser.add_argument("--site", type=_web_address)
    return parser.parse_args()


def _web_address(text: str) -> str:
    # Nothing that ends a link in Markdown can stand in it.
    if not re.fullmatch(r"https?://[^\s()<>\"]+", text):
        raise ArgumentTypeError(f"{text} is no address of a page, such as https://name.github.io/captions")
    return text


def load_library(arguments: Namespace) -> Library:
    """The photos that the app was started with.

    Raises:
        CaptioningError: they cannot be read.
    """
    gallery = folder_photos(arguments.photos) if arguments.photos else sample_photos()
    library = Library(gallery, tuple(map(load_dataset, arguments.data)))
    if library.datasets and not library.splits:
        names = " and ".join(dataset.name for dataset in library.datasets)
        raise DatasetError(f"{names} has photos to train on alone: the page shows those of dev and test.")
    return library


def choose_view(library: Library) -> str:
    views = offered_views(library)
    if st.session_state.get("view") not in views:
        st.session_state.view = views[0]
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", key="head"):
        st.title(TITLE, anchor=False, width="content")
        labels = {view: VIEWS[view].name for view in views}
        st.segmented_control(
            "View", views, required=True, key="view", format_func=labels.__getitem__, label_visibility="collapsed",
            persist_state="page",
        )  # fmt: skip
    return st.session_state.view


def reset_what_if(checkpoint: FileFingerprint, photo: Photo) -> None:
    """Forget what was changed when the photo or the model changes."""
    # The player has it too, so that what is changed late in another photo's caption is recognised.
    state, shown = st.session_state, str(hash((checkpoint, photo.key)))
    if state.shown not in (None, shown):
        state.changes = []
    state.shown = shown
