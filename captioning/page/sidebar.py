"""The sidebar: a photo, a beam width and a checkpoint are chosen here."""

import random
from dataclasses import replace
from pathlib import Path

import streamlit as st
from streamlit.components.v2 import component

from captioning.checkpoint import checkpoint_fingerprint
from captioning.data.datasets import Example
from captioning.errors import CaptioningError
from captioning.files import FileFingerprint
from captioning.inference.options import BEAM_SIZES
from captioning.page.buttons import Button, show_buttons
from captioning.page.cache import SMALL_SIZE, THUMBNAIL_SIZE, load_info, load_photo, load_thumbnail
from captioning.page.card import describe_scores
from captioning.page.events import choose, now, run_script
from captioning.page.gallery import sample_credit
from captioning.page.library import MAX_THUMBNAILS, Library, Photo, default_checkpoint, offered_checkpoints
from captioning.page.summaries import ORDERS, Summaries, ordered, search
from captioning.page.text import BLEU, as_markdown, show_error
from captioning.page.uploads import forget_refused, provide_photo
from captioning.visualize.screen import source, thumbnail, to_url

FOLDER = Path(__file__).parent
BEAM_WIDTH = "How many unfinished captions the search keeps at each step. 1 is greedy: always the likeliest next word."
CHECKPOINT = "A trained model: its weights, its vocabulary and the record of its training, in one file."


def choose_photo(library: Library) -> Photo | None:
    sources = ["Gallery", "Data set", "Upload", "Camera"] if library.datasets else ["Gallery", "Upload", "Camera"]
    st.segmented_control("Photo", sources, required=True, key="source", width="stretch", persist_state="page")
    source = st.session_state.source
    forget_refused(source)
    try:
        if source == "Gallery":
            return choose_from_gallery(library.gallery)
        if source == "Data set":
            return choose_from_dataset(library)
        st.session_state.titles = []
        return provide_photo(source)
    except CaptioningError as error:
        show_error(error)
        return None


def choose_from_gallery(gallery: dict[str, Path]) -> Photo:
    if st.session_state.get("photo") not in gallery:
        st.session_state.photo = next(iter(gallery))
    offered = {title: Example(path, ()) for title, path in gallery.items()}
    if len(gallery) > MAX_THUMBNAILS:
        choose_from_many(offered)
    else:
        show_gallery(gallery)
        st.session_state.offered, st.session_state.titles = offered, list(offered)
    title = st.session_state.photo
    photo, credit = load_offered(title), sample_credit(gallery[title])
    if credit is None:
        return photo
    st.caption(f"[{as_markdown(credit.text)}]({credit.licence_url})")
    return replace(photo, credit=credit.text)


def show_gallery(gallery: dict[str, Path]) -> None:
    """The photos to choose from; one that cannot be read has its title alone, and its error is shown once chosen."""
    html = '<div class="gallery" role="radiogroup" aria-label="Photo of the gallery"></div>'
    photos = [{"title": title, "url": load_thumbnail(path, SMALL_SIZE)} for title, path in gallery.items()]
    show_control("gallery", html, [photos, st.session_state.photo], js=source("gallery.js"))


def show_control(name: str, html: str, data: list, css: str = "", js: str = "") -> None:
    """Show a control of the page's own: `NAME.css` and `NAME.js` beside this file, after what others use too."""
    own_css, own_js = ((FOLDER / f"{name}.{suffix}").read_text(encoding="utf-8") for suffix in ("css", "js"))
    js = source("report.js") + source("player/elements.js") + js + own_js
    mount = component(f"captioning_{name}", html=html, css=css + own_css, js=js)
    mount(key=name, data=[now(), *data])


def choose_title(event: dict) -> None:
    """Choose a photo of the gallery."""
    choose("photo", event["photo"])


def choose_from_dataset(library: Library) -> Photo:
    state = st.session_state
    if state.get("split") not in library.splits:
        state.split = library.splits[0]
    st.segmented_control("Split", library.splits, required=True, key="split", width="stretch", persist_state="page")
    choose_from_many(library.examples(state.split))
    photo = load_offered(state.photo)
    # No wider, so that all of the bar is on a laptop's screen.
    st.image(to_url(thumbnail(photo.image, THUMBNAIL_SIZE)), alt=state.photo)
    return photo


def choose_from_many(offered: dict[str, Example]) -> None:
    """Choose one of many photos, or of those that have some words."""
    state = st.session_state
    words = st.text_input("Names or captions with the words", key="words", placeholder="dog ball", persist_state="page")
    # Those that were made for the grid of photos.
    known = state.get("known", Summaries())
    found = ordered(search(offered, known, words), offered, known, state.get("order") or next(iter(ORDERS)))
    if not found:
        st.info(f"No photo here has a name or caption with “{as_markdown(words)}”. Under *Photos* all get captions.")
        # The page keeps showing the same photo.
        found = [state.photo] if state.get("photo") in offered else list(offered)
    if state.get("photo") not in found:
        state.photo = found[0]
    state.offered, state.titles = offered, found
    st.selectbox(f"{len(found):,} of {len(offered):,} photos", found, key="photo", persist_state="page")
    show_buttons("random", [Button("A random photo", {"name": "random"})])


def load_offered(title: str) -> Photo:
    """A photo of the gallery or the data set that are shown."""
    example = st.session_state.offered[title]
    return load_photo(title, example.photo, example.captions)


def neighbour(by: int) -> str | None:
    """The photo that stands so many places after the current one; one of somebody's own has none."""
    state = st.session_state
    if state.source in ("Gallery", "Data set") and state.photo in state.titles:
        return state.titles[(state.titles.index(state.photo) + by) % len(state.titles)]
    return None


def turn(event: dict) -> None:
    """Choose the photo that stands so many places after the current one, if there is one."""
    title = neighbour(event["by"])
    if title is not None:
        choose("photo", title)


def choose_any(event: dict) -> None:
    choose("photo", random.choice(st.session_state.titles))


def close_on_phones(photo: Photo | None) -> None:
    """Have the sidebar close on a phone when this is another photo."""
    run_script("sidebar", [photo.key if photo else ""])


def choose_beam_width() -> None:
    with st.container(key="beam", gap=None):
        st.markdown("Beam width", help=BEAM_WIDTH)
        html = '<div class="beam"><input type="range" aria-label="Beam width" /><output></output></div>'
        data = [BEAM_SIZES[0], BEAM_SIZES[-1], st.session_state.beam_size]
        show_control("beam_width", html, data, css=source("slider.css"))


def choose_width(event: dict) -> None:
    """Search with another beam width, if it is one that the page offers."""
    if event["width"] in BEAM_SIZES:
        st.session_state.beam_size = int(event["width"])


def choose_checkpoint() -> FileFingerprint:
    paths = offered_checkpoints()
    if st.session_state.get("checkpoint") not in paths:
        st.session_state.checkpoint = default_checkpoint(paths)
    path = paths[st.selectbox("Checkpoint", list(paths), key="checkpoint", help=CHECKPOINT, persist_state="page")]
    checkpoint = checkpoint_fingerprint(path)
    st.caption(as_markdown(describe_scores(load_info(checkpoint))), help=BLEU)
    return checkpoint
