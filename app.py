"""The app: pick a photo, a beam width and a checkpoint, and step through the caption word by word.

streamlit run app.py
streamlit run app.py -- --photos DIR
streamlit run app.py -- --data DIR
"""

import random
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from captioning import Caption, Captioner, CaptioningError, ImageError, SearchOptions, open_image
from captioning.arguments import page_arguments
from captioning.checkpoint import Version, list_checkpoints, read_info, read_version
from captioning.data.datasets import CaptionDataset, read_dataset
from captioning.defaults import CHECKPOINT_FOLDER, DEFAULT_CHECKPOINT
from captioning.errors import DatasetError
from captioning.inference.captioner import EncodedPhotos
from captioning.page.gallery import folder_photos, sample_credit, sample_photos
from captioning.presentation import card, components
from captioning.presentation.address import read_address
from captioning.presentation.asked_file import AskedFile
from captioning.presentation.glossary import BEAM_SEARCH, BEAM_WIDTH, BLEU, CHECKPOINT, LOG_PROBABILITY, SCORE
from captioning.presentation.library import Library, Photo, read_photo
from captioning.presentation.process import set_up_process
from captioning.presentation.tables import hypothesis_rows, width_rows
from captioning.record import data_sets
from captioning.visualize.attention import LOOKS
from captioning.visualize.export import FORMATS, Scene
from captioning.visualize.pictures import thumbnail, to_url
from captioning.visualize.player.story import Told, tell
from captioning.visualize.text import as_markdown, number, spoken
from captioning.visualize.tree.description import describe_tree
from captioning.vocabulary import tokenize

MAX_BEAM_SIZE = 10
CAMERA_NEEDS = "Browsers let a page use the camera over HTTPS or on localhost only. A photo can be uploaded over any."
THUMBNAIL_SIZE = 160
# A gallery of more photos is a list of names.
MAX_THUMBNAILS = 20
STYLE = Path(__file__).parent / ".streamlit"
# What a path is an instance of on this system.
PATH = type(STYLE)
# Samples that show what the published data sets do not.
UNLIKE_TRAINING = {"Cat": "a cat's face", "Coffee": "a cup of coffee", "Rocket": "a rocket"}


def main() -> None:
    st.set_page_config("Show, Attend and Tell", page_icon=STYLE / "icon.png", layout="wide")
    st.html(STYLE / "page.css")
    set_up_process()
    try:
        forget_arrived()
        library = load_library(page_arguments())
        take_over_address(library)
        with st.sidebar:
            photo = choose_photo(library)
            st.slider("Beam width", 1, MAX_BEAM_SIZE, key="beam_size", help=BEAM_WIDTH, persist_state="page")
            version = choose_checkpoint()
        view = choose_view(library)
        if st.session_state.notice:
            st.warning(as_markdown(st.session_state.notice), icon=":material/link_off:")
        if photo:
            begin_again_with_another(version, photo)
        if photo or view == "model":
            VIEWS[view].show(version, photo)
        else:
            st.info("Choose a photo in the bar on the left to see how the model describes it.")
        hand_over()
        write_address()
    except CaptioningError as error:
        show_error(error)


# What is on offer


def load_library(arguments: Namespace) -> Library:
    gallery = folder_photos(arguments.photos) if arguments.photos else sample_photos()
    library = Library(gallery, load_dataset(arguments.data) if arguments.data else None)
    if library.dataset and not library.splits:
        raise DatasetError(f"{arguments.data} has photos to train on alone: the page shows those of dev and test.")
    return library


# The address


def take_over_address(library: Library) -> None:
    """Set the page to what its address says, when it is opened or the browser goes back; what cannot be is told."""
    state, asked = st.session_state, st.query_params.to_dict()
    # Any other run may still bring the address from before the last control was moved.
    if "opened" in state and not get_script_run_ctx().is_history_navigation:
        state.notice = None
        return
    photos = library.examples(asked["split"]) if asked.get("split") in library.splits else library.gallery
    checkpoints = [path.stem for path in list_checkpoints(CHECKPOINT_FOLDER)]
    offers = {
        "split": library.splits,
        "photo": photos,
        "beam": [str(width) for width in range(1, MAX_BEAM_SIZE + 1)],
        "checkpoint": checkpoints,
        "other": checkpoints,
        "view": offered_views(library),
        "look": LOOKS,
    }
    known, state.notice = read_address(asked, offers)
    # Going back to a photo of somebody's own, which no address names, must not take it away.
    if state.get("source") not in ("Upload", "Camera") or known.keys() & {"photo", "split"}:
        state.source = "Data set" if known.get("split") or (library.dataset and "photo" not in known) else "Gallery"
    state.update({name: known[name] for name in ("split", "photo", "checkpoint", "other", "view") if name in known})
    state.beam_size = int(known.get("beam", SearchOptions().beam_size))
    state.look = known.get("look", next(iter(LOOKS)))
    words = asked.get("say", "").split()[: SearchOptions().max_steps]
    state.said = [words] if words else []
    state.words = ""
    state.shown = None
    # At the end, for this run may be cut short before.
    state.opened = True


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


# The sidebar


def choose_photo(library: Library) -> Photo | None:
    sources = ["Gallery", "Data set", "Upload", "Camera"] if library.dataset else ["Gallery", "Upload", "Camera"]
    source = st.segmented_control("Photo", sources, required=True, key="source", width="stretch", persist_state="page")
    try:
        if source == "Gallery":
            return choose_from_gallery(library.gallery)
        if source == "Data set":
            return choose_from_dataset(library)
        if source == "Upload":
            # Of any kind: what is no photo is told here, in words that are not Streamlit's.
            file = st.file_uploader("Your photo", key="upload", help="It stays in memory.")
        else:
            if not may_use_camera():
                st.info(CAMERA_NEEDS)
            file = st.camera_input("Take a photo", key="camera", help=CAMERA_NEEDS)
        st.caption("A photo of your own is not in the page's address: a link or a reload cannot bring it back.")
        return load_photo(file.name, file.getvalue()) if file else None
    except CaptioningError as error:
        show_error(error)
        return None


def may_use_camera() -> bool:
    """Whether browsers let this page use the camera."""
    address = urlsplit(st.context.url or "")
    return address.scheme != "http" or address.hostname in ("localhost", "127.0.0.1", "::1")


def choose_from_gallery(gallery: dict[str, Path]) -> Photo:
    if st.session_state.get("photo") not in gallery:
        st.session_state.photo = next(iter(gallery))
    if len(gallery) > MAX_THUMBNAILS:
        st.selectbox("From the folder", list(gallery), key="photo", persist_state="page")
    else:
        # A choice that stands until the next, where of two buttons clicked while the page is busy the first could win.
        st.pills("Photo of the gallery", list(gallery), required=True, key="photo", persist_state="page",
                 format_func=lambda title: label(title, gallery[title]), label_visibility="collapsed")  # fmt: skip
    title = st.session_state.photo
    photo, credit = load_photo(title, gallery[title]), sample_credit(gallery[title])
    if credit is None:
        return photo
    st.caption(f"[{as_markdown(credit.text)}]({credit.licence_url})")
    return replace(photo, credit=credit.text)


def label(title: str, path: Path) -> str:
    """A photo's thumbnail and title; what is wrong with one that has no thumbnail is told once it is chosen."""
    url = load_thumbnail(path)
    return f"![]({url}) {as_markdown(title)}" if url else as_markdown(title)


def choose_from_dataset(library: Library) -> Photo | None:
    """Browse a split, or the photos of it whose reference captions have a word."""
    state = st.session_state
    if state.get("split") not in library.splits:
        state.split = library.splits[0]
    split = st.segmented_control(
        "Split", library.splits, required=True, key="split", width="stretch", persist_state="page"
    )
    words = st.text_input("Captions with the words", key="words", placeholder="dog ball", persist_state="page")
    examples, found = library.examples(split), library.search(split, words)
    if not found:
        st.info(f"No photo of the {split} split has captions with “{as_markdown(words)}”.")
        return None
    if state.get("photo") not in found:
        state.photo = found[0]
    st.selectbox(f"{len(found):,} of {len(examples):,} photos", found, key="photo", persist_state="page")
    st.button("A random photo", icon=":material/shuffle:", width="stretch", key="random",
              on_click=choose_any, args=[found])  # fmt: skip
    example = examples[state.photo]
    photo = load_photo(state.photo, example.photo, example.captions)
    # No wider, so that all of the bar is on a laptop's screen.
    st.image(to_url(thumbnail(photo.image, THUMBNAIL_SIZE)), alt=state.photo)
    return photo


def choose_any(titles: list[str]) -> None:
    st.session_state.photo = random.choice(titles)


def choose_checkpoint() -> Version:
    paths = {path.stem: path for path in list_checkpoints(CHECKPOINT_FOLDER)}
    if not paths:
        raise CaptioningError(f"There is no checkpoint in {CHECKPOINT_FOLDER.name}/: train one with train.py.")
    if st.session_state.get("checkpoint") not in paths:
        default = DEFAULT_CHECKPOINT.stem
        st.session_state.checkpoint = default if default in paths else next(iter(paths))
    path = paths[st.selectbox("Checkpoint", list(paths), key="checkpoint", help=CHECKPOINT, persist_state="page")]
    st.caption(as_markdown(card.describe_scores(read_info(path))), help=BLEU)
    return read_version(path)


# The views


def choose_view(library: Library) -> str:
    views = offered_views(library)
    if st.session_state.get("view") not in views:
        st.session_state.view = views[0]
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", key="head"):
        st.subheader("Show, Attend and Tell", anchor=False, width="content")
        labels = {view: VIEWS[view].name for view in views}
        return st.segmented_control(
            "View", views, required=True, key="view", format_func=labels.get, label_visibility="collapsed",
            persist_state="page",
        )  # fmt: skip


def offered_views(library: Library) -> list[str]:
    return [view for view in VIEWS if view != "truth" or library.dataset]


def begin_again_with_another(version: Version, photo: Photo) -> None:
    """Forget what the model was made to say once another photo or model is there."""
    state, shown = st.session_state, (version, photo.key)
    if state.shown not in (None, shown):
        state.said = []
    state.shown = shown


def show_subject(version: Version, photo: Photo) -> None:
    """Say honestly what the model has seen in its training, and what it has not."""
    datasets = data_sets(load_captioner(version).info.training)
    name = " and ".join(dataset.get("name", "an unnamed data set") for dataset in datasets)
    people = " of people, dogs and the outdoors" if name.startswith("Flickr") and len(datasets) == 1 else ""
    photos = sum(dataset.get("train", 0) for dataset in datasets)
    learned = f"trained on {photos:,} photos{people} ({as_markdown(name)})"
    if people and photo.title in UNLIKE_TRAINING and st.session_state.source == "Gallery":
        unseen = UNLIKE_TRAINING[photo.title]
        st.caption(f":material/warning: **The model was {learned}. It has never seen {unseen}: it can only guess.**")
    else:
        st.caption(f"A neural network describes a photo, and shows where it looks for each word. It was {learned}.")


def show_steps(version: Version, photo: Photo) -> None:
    """The caption word by word, alone or beside what the model says when it is made to say another word."""
    state = st.session_state
    plain = describe(version, photo, state.beam_size)
    captions = [Told(plain)]
    try:
        if state.said:
            captions = what_if(plain, describe(version, photo, state.beam_size, tuple(state.said[-1])), state.said[-1])
    except CaptioningError as error:
        show_error(error)
        state.said.clear()
    with st.container(horizontal=True, vertical_alignment="center", key="subject"):
        show_subject(version, photo)
        take_away(version, photo, captions)
    if state.said:
        show_question(state.said[-1])
    story = tell_story(photo, captions, what_if=True)

    def say_instead() -> None:
        # A click may come from a player that the page no longer has.
        said = state.get("player", {}).get("said")
        if said and said["story"] == story["id"]:
            steps = captions[said["caption"]].caption.steps
            words = [*(step.word for step in steps[: said["index"]]), said["word"]]
            # A double click must not say it twice.
            if state.said[-1:] != [words]:
                state.said = [*state.said, words]

    show_player("player", story, on_said_change=say_instead)
    show_timing(plain, load_captioner(version))


def show_player(key: str, story: dict, **hooks: Callable[[], None]) -> None:
    """The player; the look that is chosen in it is that of the address and of files to take away."""

    def keep_look() -> None:
        chosen = st.session_state[key]["look"]
        if chosen:
            st.session_state.look = chosen[0]

    components.player(key=key, data=story, on_look_change=keep_look, **hooks)


def what_if(plain: Caption, other: Caption, prefix: list[str]) -> list[Told]:
    """The caption, and beside it the one that follows from another word."""
    return [
        Told(plain, "What it said", f"log-probability {number(plain.log_probability)}"),
        Told(other, "What it says then", f"log-probability {number(other.log_probability)}", forced=len(prefix)),
    ]


def show_question(prefix: list[str]) -> None:
    """What the model was made to say, and the way back."""
    words = " ".join(prefix[:-1])
    place = f"after “{words}”" if words else "at the beginning"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Undo", icon=":material/undo:", key="undo", on_click=take_back)
        st.markdown(as_markdown(f"What if it said “{spoken(prefix[-1])}” {place}?"), help=LOG_PROBABILITY)


def take_back() -> None:
    # Of two quick clicks the second may come when all is taken back.
    st.session_state.said = st.session_state.said[:-1]


def show_timing(caption: Caption, captioner: Captioner) -> None:
    encode, search = round(caption.seconds.encode * 1000), round(caption.seconds.search * 1000)
    st.caption(
        f"{captioner.runtime.describe()} · encoded in {encode} ms · searched in {search} ms · "
        f"log-probability {number(caption.log_probability)}",
        help=f"The encoder turns the photo into a feature grid, once; the search finds the caption. {LOG_PROBABILITY}",
    )


def take_away(version: Version, photo: Photo, captions: list[Told]) -> None:
    """Files with the caption in them; each is made when it is asked for."""
    state = st.session_state
    credit = f"{version.path.stem}, beam width {state.beam_size}. Made with Show, Attend and Tell. {photo.credit}"
    scene = Scene(photo.title, photo.image, tuple(captions), state.look, credit.strip())
    with st.popover("Take it away", icon=":material/download:", key="take"):
        for suffix, kind in FORMATS.items():
            file = AskedFile(uuid4().hex, scene, suffix)
            st.button(kind.name, key=f"take {suffix}", width="stretch", help=kind.help, on_click=ask_for, args=[file])


def ask_for(file: AskedFile) -> None:
    st.session_state.asked = [*st.session_state.asked, file]


def forget_arrived() -> None:
    """Forget the files that the browser has; the others are to be handed over by this run of the page."""
    state = st.session_state
    state.asked = [file for file in state.get("asked", []) if not file.has_arrived()]
    for file in state.asked:
        # As a run begins, what the one before has just sent may be dropped.
        file.handed_over = None


def hand_over() -> None:
    """Give the browser the files that were asked for; not within the popover, which may have been closed since."""
    asked = st.session_state.asked
    if asked:
        components.hand_over(key="taken", data=[file.message for file in asked])
    for file in asked:
        file.handed_over = time.monotonic()


def show_search(version: Version, photo: Photo) -> None:
    """The tree of the search, and what it ended with."""
    show_subject(version, photo)
    caption = describe(version, photo, st.session_state.beam_size)
    st.markdown(f"#### Beam search at width {st.session_state.beam_size}", help=f"{BEAM_SEARCH} {LOG_PROBABILITY}")
    components.beam_tree(key="tree", data=describe_tree(caption.tree))
    st.markdown("#### Final hypotheses", help=SCORE.format(SearchOptions().length_penalty))
    st.table(hypothesis_rows(caption), hide_index=True)


def show_comparison(version: Version, photo: Photo) -> None:
    """The photo at every beam width, and two checkpoints side by side."""
    show_subject(version, photo)
    st.markdown("#### Beam widths", help=f"{LOG_PROBABILITY} The time is that of the search alone.")
    captions = {width: describe(version, photo, width) for width in range(1, MAX_BEAM_SIZE + 1)}
    st.table(width_rows(captions), hide_index=True)
    st.markdown("#### Checkpoints")
    others = {path.stem: path for path in list_checkpoints(CHECKPOINT_FOLDER) if path != version.path}
    if not others:
        st.info("There is no other checkpoint: put one into checkpoints/ to see two side by side.")
        return
    if st.session_state.get("other") not in others:
        st.session_state.other = next(iter(others))
    compare_checkpoints(
        photo, version, read_version(others[st.selectbox("Beside it", list(others), key="other", persist_state="page")])
    )


def compare_checkpoints(photo: Photo, *versions: Version) -> None:
    found = {version.path.stem: describe(version, photo, st.session_state.beam_size) for version in versions}
    told = [
        Told(caption, name, f"log-probability {number(caption.log_probability)}") for name, caption in found.items()
    ]
    show_player("checkpoints", tell_story(photo, told))


def show_truth(version: Version, photo: Photo) -> None:
    """What people wrote of the photo, beside what the model says."""
    show_subject(version, photo)
    if not photo.references:
        st.info("This photo comes without reference captions: choose one of the data set.")
        return
    # Here, so that the page does not wait for what only this view needs.
    from captioning.evaluation.metrics import bleu

    caption = describe(version, photo, st.session_state.beam_size)
    left, right = st.columns([2, 3], gap="large")
    # A URL that holds it whole: a file of Streamlit's may be gone by the time the browser asks for it.
    left.image(to_url(photo.image), width="stretch", alt=photo.title)
    with right:
        st.markdown("#### The model says")
        st.markdown(as_markdown(caption.text))
        st.markdown("#### People wrote", help="The reference captions of this photo in the data set.")
        st.markdown("\n".join(f"- {as_markdown(reference)}" for reference in photo.references))
        scores = bleu([caption.text.split()], [[tokenize(reference) for reference in photo.references]])
        st.markdown("#### BLEU of this one caption", help=BLEU)
        with st.container(horizontal=True):
            for n, score in enumerate(scores, start=1):
                st.metric(f"BLEU-{n}", f"{score:.1f}", width="content")
        st.caption(
            "BLEU of one sentence says little: it was made for whole test sets. A good caption in other words scores "
            "near 0, and without four words in a row that agree BLEU-4 is 0."
        )


def show_model(version: Version, photo: Photo | None) -> None:
    """The checkpoint's card; it needs no photo."""
    captioner = load_captioner(version)
    left, right = st.columns(2, gap="large")
    with left:
        show_facts("The model", card.describe_model(captioner))
    with right:
        show_facts("Its training", card.describe_training(captioner.info))
    st.markdown("#### Scores", help=f"{BLEU} Settings were chosen on dev; test was read at the end.")
    scores = card.score_table(captioner.info)
    if scores:
        st.table(scores, hide_index=True)
    else:
        st.info("It has not been scored yet: see python -m captioning evaluate.")
    for stage in card.describe_stages(captioner.info):
        show_stage(stage)
    limits = card.describe_limits(version.path)
    if limits:
        st.markdown("#### What it is bad at")
        st.markdown(limits)


def show_facts(title: str, facts: dict[str, str]) -> None:
    st.markdown(f"#### {title}")
    st.markdown("\n".join(f"- **{name}**: {as_markdown(fact)}" for name, fact in facts.items()))


def show_stage(stage: card.Stage) -> None:
    st.markdown(f"#### {as_markdown(stage.name)}, epoch by epoch")
    # A stage may have recorded nothing that makes a curve.
    columns = st.columns(len(stage.curves)) if stage.curves else []
    for column, curve in zip(columns, stage.curves, strict=True):
        with column:
            st.markdown(f"**{as_markdown(curve.name)}**")
            st.line_chart(curve.rows, x="Epoch", y=curve.columns, y_label="", height=220)
    with st.expander("The table"):
        st.table(stage.table, hide_index=True)


@dataclass(frozen=True)
class View:
    """A way to look at a caption: what it is called, and what draws it."""

    name: str
    show: Callable[[Version, Photo], None]


VIEWS = {
    "step": View("Step through", show_steps),
    "search": View("Beam search", show_search),
    "compare": View("Compare", show_comparison),
    "truth": View("Truth", show_truth),
    "model": View("Model", show_model),
}


def show_error(error: CaptioningError) -> None:
    st.error(as_markdown(str(error)), icon=":material/error:")


# What is computed, kept so that it is computed once


def identify(caption: Caption) -> tuple[str, float]:
    """What tells captions of one photo apart."""
    return caption.text, caption.log_probability


@st.cache_resource(max_entries=2, show_spinner="Loading the model …")
def load_captioner(version: Version) -> Captioner:
    return Captioner.from_checkpoint(version.path)


@st.cache_resource(max_entries=1, show_spinner="Reading the data set …")
def load_dataset(folder: Path) -> CaptionDataset:
    return read_dataset(folder)


def identify_file(path: Path) -> tuple[str | int, ...]:
    """What tells a file from one that takes its place."""
    try:
        found = path.stat()
    except OSError:
        return (str(path),)
    return str(path), found.st_ino, found.st_size, found.st_mtime_ns


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs={PATH: identify_file})
def load_photo(title: str, source: Path | bytes, references: tuple[str, ...] = ()) -> Photo:
    return read_photo(title, source, references)


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs={PATH: identify_file})
def load_thumbnail(path: Path) -> str | None:
    """The URL of a thumbnail, if the photo can be read."""
    try:
        return to_url(thumbnail(open_image(path), THUMBNAIL_SIZE))
    except ImageError:
        return None


@st.cache_resource(max_entries=32, show_spinner=False, hash_funcs={Photo: attrgetter("key")})
def encode(version: Version, photo: Photo) -> EncodedPhotos:
    return load_captioner(version).encode([photo.image])


@st.cache_resource(max_entries=128, show_spinner="Describing the photo …", hash_funcs={Photo: attrgetter("key")})
def describe(version: Version, photo: Photo, beam_size: int, prefix: tuple[str, ...] = ()) -> Caption:
    options = SearchOptions(beam_size=beam_size, keep_tree=True)
    return load_captioner(version).describe(encode(version, photo), options, [prefix])[0]


@st.cache_resource(
    max_entries=16, show_spinner=False, hash_funcs={Photo: attrgetter("title", "key"), Caption: identify}
)
def tell_story(photo: Photo, captions: list[Told], *, what_if: bool = False) -> dict:
    """What the player shows."""
    return tell(photo.title, photo.image, captions, what_if=what_if)


if __name__ == "__main__":
    main()
