"""What is computed or read once, and shared by all sessions of the page."""

from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path

import streamlit as st

from captioning import Caption, Captioner, ImageError, SearchOptions, open_image
from captioning.checkpoint import CheckpointInfo, read_info
from captioning.data.datasets import CaptionDataset, read_dataset
from captioning.files import FileFingerprint, file_fingerprint
from captioning.inference.captioner import EncodedPhotos
from captioning.inference.probing import Occlusion, probe
from captioning.memory import give_back_free_memory
from captioning.page.library import Photo, read_photo
from captioning.visualize.player.data import CaptionPane, player_data
from captioning.visualize.screen import thumbnail, to_url
from captioning.vocabulary import SPECIAL_TOKENS

# Sides of thumbnails in pixels: in the grid of photos, and in the gallery of the sidebar.
THUMBNAIL_SIZE, SMALL_SIZE = 160, 112
# The class of paths on this system.
PATH = type(Path())


def identify_path(path: Path) -> tuple[str | int, ...]:
    """Equal for the same file as long as it is not replaced or written to."""
    try:
        found = file_fingerprint(path)
    except (OSError, ValueError):
        return (str(path),)
    return str(path), found.inode, found.size, found.modified


def identify_caption(caption: Caption) -> tuple[str, float]:
    """Different for different captions of one photo."""
    return caption.text, caption.log_probability


def identify_pane(pane: CaptionPane) -> tuple:
    """Different for panes that look different; by itself Streamlit would go through all the numbers of a caption."""
    caption = (*identify_caption(pane.caption), pane.caption.sureness)
    return *caption, pane.heading, pane.note, pane.forced, pane.hidden, pane.occlusion is not None


@st.cache_resource(max_entries=8, show_spinner=False)
def load_info(checkpoint: FileFingerprint) -> CheckpointInfo:
    return read_info(checkpoint.path)


@st.cache_resource(max_entries=2, show_spinner="Loading the model …")
def load_captioner(checkpoint: FileFingerprint) -> Captioner:
    captioner = Captioner.from_checkpoint(checkpoint.path)
    give_back_free_memory()
    return captioner


@st.cache_resource(show_spinner="Reading the data set …")
def load_dataset(path: Path) -> CaptionDataset:
    return read_dataset(path)


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs={PATH: identify_path})
def load_photo(title: str, source: Path | bytes, references: tuple[str, ...]) -> Photo:
    return read_photo(title, source, references)


@st.cache_data(max_entries=256, show_spinner=False, hash_funcs={PATH: identify_path})
def load_thumbnail(path: Path, size: int = THUMBNAIL_SIZE) -> str | None:
    """The URL of a thumbnail, if the photo can be read."""
    try:
        return to_url(thumbnail(open_image(path), size))
    except ImageError:
        return None


@st.cache_resource(max_entries=32, show_spinner=False, hash_funcs={Photo: attrgetter("key")})
def encode(checkpoint: FileFingerprint, photo: Photo) -> EncodedPhotos:
    return load_captioner(checkpoint).encode([photo.image])


@st.cache_resource(max_entries=128, show_spinner="Describing the photo …", hash_funcs={Photo: attrgetter("key")})
def describe(checkpoint: FileFingerprint, photo: Photo, beam_size: int, prefix: tuple[str, ...] = ()) -> Caption:
    options = SearchOptions(beam_size=beam_size, keep_tree=True)
    return load_captioner(checkpoint).describe(encode(checkpoint, photo), options, [prefix])[0]


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs={Photo: attrgetter("key"), Caption: identify_caption})
def find_what_mattered(checkpoint: FileFingerprint, photo: Photo, caption: Caption) -> Occlusion:
    return probe(load_captioner(checkpoint), photo.image, caption)


@st.cache_resource(
    max_entries=16, show_spinner=False, hash_funcs={Photo: attrgetter("title", "key"), CaptionPane: identify_pane}
)
def load_player_data(photo: Photo, panes: Sequence[CaptionPane], *, what_if: FileFingerprint | None = None) -> dict:
    """The data that the player shows; `what_if` is the checkpoint that says what follows from a change."""
    vocabulary = load_captioner(what_if).info.vocabulary.words[len(SPECIAL_TOKENS) :] if what_if else ()
    return player_data(photo.title, photo.image, panes, vocabulary=vocabulary)


def prepare(checkpoint: FileFingerprint, photo: Photo, beam_size: int) -> None:
    """Compute what the player shows of a photo of which nothing was changed."""
    load_player_data(photo, [CaptionPane(describe(checkpoint, photo, beam_size))], what_if=checkpoint)
