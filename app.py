"""The app: pick a photo, a beam width and a checkpoint, and step through the caption word by word.

streamlit run app.py
streamlit run app.py -- --photos DIR
"""

import argparse
import hashlib
import html
import io
import re
import sys
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

import streamlit as st
import torch
from PIL import Image

from captioning import Caption, Captioner, CaptioningError, SearchOptions, Step, open_image
from captioning.checkpoint import CHECKPOINT_FOLDER, DEFAULT_CHECKPOINT, CheckpointInfo, list_checkpoints, read_info
from captioning.data.gallery import folder_photos, sample_photos
from captioning.images import PHOTO_SUFFIXES
from captioning.inference.captioner import EncodedPhotos
from captioning.visualize.attention import attention_overlay
from captioning.visualize.pictures import fit, thumbnail, to_jpeg
from captioning.vocabulary import END, SPECIAL_TOKENS

MAX_BEAM_SIZE = 10
DISPLAY_SIZE = 1000
THUMBNAIL_SIZE = 160
END_TOKEN = SPECIAL_TOKENS[END]

STYLE = """
<style>
.block-container { padding-top: 2.6rem; padding-bottom: 1rem; max-width: 1700px; }
.st-key-picture div { width: 100% !important; max-width: 100% !important; }
.st-key-picture img { border-radius: 0.6rem; max-width: 100% !important; }
[data-stale="true"] { opacity: 1 !important; transition: none !important; }
.st-key-gallery button { min-height: 1.7rem; padding: 0 0.1rem; }
.st-key-gallery button p { font-size: 0.78rem; }
.sentence { font-size: 1.9rem; line-height: 1.45; margin: 0 0 0.4rem -0.22em; }
.sentence span { padding: 0.05em 0.22em; border-radius: 0.35em; }
.sentence .now { background: #6d28d9; color: #ffffff; }
.sentence .end { opacity: 0.65; font-size: 0.6em; }
.word { font-size: 2.2rem; font-weight: 600; line-height: 1.2; margin: -0.4rem 0 0; }
.word span { font-size: 1.1rem; font-weight: 400; opacity: 0.8; margin-left: 0.3rem; }
.likely { display: grid; grid-template-columns: max-content 1fr max-content; gap: 0.4rem 0.8rem; align-items: center; }
.likely .bar { background: rgba(128, 118, 160, 0.22); border-radius: 0.3rem; height: 0.8rem; }
.likely .bar div { background: #8b5cf6; border-radius: 0.3rem; height: 100%; min-width: 2px; }
.likely .said { font-weight: 700; }
.likely .share { font-variant-numeric: tabular-nums; text-align: right; }
@media (min-width: 1800px) {
  .sentence { font-size: 2.3rem; }
  .word { font-size: 2.8rem; }
  .likely { font-size: 1.2rem; }
}
</style>
"""


@dataclass(frozen=True)
class Photo:
    """A photo on the page: what to call it, its pixels, and a key that is the same for the same pixels."""

    title: str
    image: Image.Image
    key: str


def main() -> None:
    st.set_page_config("Show, Attend and Tell", page_icon=":material/center_focus_strong:", layout="wide")
    st.html(STYLE)
    try:
        gallery = load_gallery(read_arguments())
        with st.sidebar:
            photo = choose_photo(gallery)
            beam_size = choose_beam_size()
            checkpoint = choose_checkpoint()
        show_title(checkpoint)
        if photo is None:
            st.info("Choose a photo in the bar on the left to see how the model describes it.")
            return
        version = Version(checkpoint.path, checkpoint.path.stat().st_mtime_ns)
        caption = describe(version, photo, beam_size)
        begin_at_first_word(photo, caption)
        fit_on_screen(photo)
        step_through(photo.title, caption, draw_attention(version, photo, beam_size), load_captioner(version).device)
    except CaptioningError as error:
        st.error(as_text(str(error)), icon=":material/error:")


@dataclass(frozen=True)
class Version:
    """A checkpoint file as it was when it was loaded, so that a replaced one is loaded anew."""

    path: Path
    modified: int


class ArgumentError(CaptioningError):
    """The command line asks for something that there is not."""


class Arguments(argparse.ArgumentParser):
    """Tells mistakes on the page, since the command that started it is not in sight."""

    def error(self, message: str):
        raise ArgumentError(f"The app was started with something it does not know ({message}): use --photos DIR.")


def read_arguments() -> argparse.Namespace:
    parser = Arguments(add_help=False)
    parser.add_argument("--photos", type=Path)
    return parser.parse_args(sys.argv[1:])


def load_gallery(arguments: argparse.Namespace) -> dict[str, Path]:
    """Titles and files: the given folder's photos, else the samples."""
    return folder_photos(arguments.photos) if arguments.photos else sample_photos()


# The sidebar


def choose_photo(gallery: dict[str, Path]) -> Photo | None:
    source = st.segmented_control(
        "Photo", ["Gallery", "Upload", "Camera"], default="Gallery", required=True, key="source", width="stretch"
    )
    try:
        if source == "Gallery":
            return choose_from_gallery(gallery)
        if source == "Upload":
            suffixes = sorted(suffix.removeprefix(".") for suffix in PHOTO_SUFFIXES)
            file = st.file_uploader("Your photo", type=suffixes, key="upload", help="It stays in memory.")
        else:
            file = st.camera_input("Take a photo", key="camera")
        return load_photo(file.name, file.getvalue()) if file else None
    except CaptioningError as error:
        st.error(as_text(str(error)), icon=":material/error:")
        return None


def choose_from_gallery(gallery: dict[str, Path]) -> Photo | None:
    if not gallery:
        st.info("There are no sample photos (pip install scikit-image brings some): upload one.")
        return None
    if st.session_state.get("photo") not in gallery:
        st.session_state.photo = next(iter(gallery))
    if len(gallery) > 12:
        st.selectbox("From the folder", list(gallery), key="photo")
    else:
        show_thumbnails(gallery)
    title = st.session_state.photo
    return load_photo(title, gallery[title])


def show_thumbnails(gallery: dict[str, Path]) -> None:
    columns = st.container(key="gallery").columns(3, gap="small")
    for index, (title, path) in enumerate(gallery.items()):
        with columns[index % 3]:
            st.image(load_thumbnail(path), width="stretch", alt="")
            chosen = title == st.session_state.photo
            st.button(
                title,
                key=f"photo {title}",
                type="primary" if chosen else "secondary",
                width="stretch",
                on_click=st.session_state.update,
                args=({"photo": title},),
            )


def choose_beam_size() -> int:
    return st.slider(
        "Beam width",
        1,
        MAX_BEAM_SIZE,
        SearchOptions().beam_size,
        key="beam_size",
        help="How many unfinished captions the search keeps at each step. 1 is greedy: always the likeliest next word.",
    )


def choose_checkpoint() -> CheckpointInfo:
    paths = list_checkpoints(CHECKPOINT_FOLDER)
    if not paths:
        raise CaptioningError(f"There is no checkpoint in {CHECKPOINT_FOLDER.name}/: train one with train.py.")
    default = paths.index(DEFAULT_CHECKPOINT) if DEFAULT_CHECKPOINT in paths else 0
    path = st.selectbox("Checkpoint", paths, default, format_func=lambda path: path.stem, key="checkpoint")
    info = read_info(path)
    st.caption(as_text(describe_scores(info)))
    return info


def describe_scores(info: CheckpointInfo) -> str:
    """What a presenter wants to know of a checkpoint, in a line."""
    scores = info.training.get("scores", {})
    for split in ("test", "dev"):
        if scores.get(split):
            widths = " · ".join(f"{row['bleu'][3]:.1f} at beam {row['beam_size']}" for row in scores[split])
            return f"BLEU-4 on the {split} split: {widths}"
    return "Not scored yet: see python -m captioning evaluate."


# The page


def show_title(info: CheckpointInfo) -> None:
    st.subheader("Show, Attend and Tell", anchor=False)
    dataset = info.training.get("dataset", {})
    name = dataset.get("name", "an unnamed data set")
    subjects = " of people and dogs, mostly outdoors: of anything else it makes what it can" if "Flickr" in name else ""
    st.caption(
        "A neural network describes a photo, and shows where it looks for each word. "
        f"It learned from {dataset.get('train', 0):,} photos{subjects} ({as_text(name)})."
    )


def begin_at_first_word(photo: Photo, caption: Caption) -> None:
    """Go to the first word of a caption that was not on the page in the run before."""
    shown = (photo.key, caption.text)
    # Streamlit forgets the slider's word in a run that does not draw it, as after a photo that cannot be read.
    if st.session_state.get("shown") != shown or "word" not in st.session_state:
        st.session_state.shown = shown
        st.session_state.word = 1


def fit_on_screen(photo: Photo) -> None:
    """Draw the picture as large as the window allows, with the caption above it in sight."""
    ratio = photo.image.width / photo.image.height
    width = f"min(100%, max(16rem, (100vh - 19rem) * {ratio:.4f}))"
    st.html(f"<style>.st-key-picture img {{ width: {width} !important; }}</style>")


@st.fragment
def step_through(title: str, caption: Caption, pictures: list[bytes], device: torch.device) -> None:
    """The caption's words, one of them current, with what the model saw and thought for it."""
    left, right = st.columns([3, 2], gap="large")
    with right:
        index = choose_word(len(caption.steps))
        step = caption.steps[index]
        show_word(step)
        show_timing(caption, device)
    with left:
        show_sentence(caption, index)
        with st.container(key="picture"):
            where = f"the model's attention while choosing the word {step.word}"
            st.image(pictures[index], width="stretch", alt=f"{title}, with {where}")


def choose_word(count: int) -> int:
    """The index of the current word; the slider and the buttons (and arrow keys) move it."""

    def move(by: int) -> None:
        st.session_state.word = min(max(st.session_state.word + by, 1), count)

    back, forward = st.columns(2, gap="small")
    at = st.session_state.word
    back.button("Previous", key="previous", icon=":material/arrow_back:", shortcut="Left", width="stretch",
                disabled=at == 1, on_click=move, args=(-1,))  # fmt: skip
    forward.button("Next", key="next", icon=":material/arrow_forward:", shortcut="Right", width="stretch",
                   disabled=at == count, on_click=move, args=(1,))  # fmt: skip
    return st.slider("Word", 1, count, key="word") - 1


def show_sentence(caption: Caption, current: int) -> None:
    words = []
    for index, step in enumerate(caption.steps):
        classes = " ".join(name for name, on in (("now", index == current), ("end", step.end)) if on)
        words.append(f'<span class="{classes}">{html.escape(spoken(step.word))}</span>')
    st.html(f'<p class="sentence">{" ".join(words)}</p>')


def show_word(step: Step) -> None:
    st.markdown(
        "**The caption ends here**" if step.end else "**The model says**",
        help="The percentage is the probability of this word, given the photo and the words before it.",
    )
    st.html(f'<p class="word">{html.escape(spoken(step.word))} <span>{step.probability:.0%}</span></p>')
    st.markdown("**What it could have said**", help="The likeliest words at this step, with their probabilities.")
    rows = []
    for word, probability in step.alternatives:
        said = "said" if word == step.word else ""
        rows.append(
            f'<div class="{said}">{html.escape(spoken(word))}</div>'
            f'<div class="bar"><div style="width:{probability:.1%}"></div></div>'
            f'<div class="share {said}">{probability:.0%}</div>'
        )
    st.html(f'<div class="likely">{"".join(rows)}</div>')


def spoken(word: str) -> str:
    """The word as it is shown: the end token is named without its brackets."""
    return "end" if word == END_TOKEN else word


def show_timing(caption: Caption, device: torch.device) -> None:
    encode, search = round(caption.seconds.encode * 1000), round(caption.seconds.search * 1000)
    st.caption(f"{device.type.upper()} · encoded in {encode} ms · searched in {search} ms")


def as_text(text: str) -> str:
    """The text with what Markdown would take for markup marked as plain."""
    return re.sub(r"([\\`*_{}\[\]()<>#+\-!|~:$])", r"\\\1", text)


# What is computed, kept so that it is computed once


@st.cache_resource(max_entries=2, show_spinner="Loading the model …")
def load_captioner(version: Version) -> Captioner:
    return Captioner.from_checkpoint(version.path)


@st.cache_resource(max_entries=8, show_spinner=False)
def load_photo(title: str, source: Path | bytes) -> Photo:
    if isinstance(source, bytes):
        source = io.BytesIO(source)
        # What messages call it.
        source.name = title
    image = open_image(source)
    return Photo(title, image, hashlib.sha256(image.tobytes()).hexdigest())


@st.cache_data(max_entries=64, show_spinner=False)
def load_thumbnail(path: Path) -> bytes:
    return to_jpeg(thumbnail(open_image(path), THUMBNAIL_SIZE))


@st.cache_resource(max_entries=32, show_spinner=False, hash_funcs={Photo: attrgetter("key")})
def encode(version: Version, photo: Photo) -> EncodedPhotos:
    return load_captioner(version).encode([photo.image])


@st.cache_resource(max_entries=64, show_spinner="Describing the photo …", hash_funcs={Photo: attrgetter("key")})
def describe(version: Version, photo: Photo, beam_size: int) -> Caption:
    return load_captioner(version).describe(encode(version, photo), SearchOptions(beam_size=beam_size))[0]


@st.cache_resource(max_entries=12, show_spinner=False, hash_funcs={Photo: attrgetter("key")})
def draw_attention(version: Version, photo: Photo, beam_size: int) -> list[bytes]:
    """For each word the photo with the model's attention over it."""
    image = fit(photo.image, DISPLAY_SIZE)
    return [to_jpeg(attention_overlay(image, step.attention)) for step in describe(version, photo, beam_size).steps]


if __name__ == "__main__":
    main()
