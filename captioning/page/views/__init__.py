"""The views of a caption: the table that the page and its address read, and a file for each."""

from collections.abc import Callable
from dataclasses import dataclass

from captioning.files import FileFingerprint
from captioning.page.library import Library, Photo
from captioning.page.views.beam_search import show_search
from captioning.page.views.compare import show_comparison
from captioning.page.views.model import show_model
from captioning.page.views.photos import show_photos
from captioning.page.views.step_through import show_steps
from captioning.page.views.truth import show_truth


@dataclass(frozen=True)
class View:
    """A view: its name on screen, the function that shows it, and whether it can do without a photo."""

    name: str
    show: Callable[[FileFingerprint, Photo], None] | Callable[[FileFingerprint, Photo | None], None]
    without_photo: bool = False


VIEWS = {
    "step": View("Step through", show_steps),
    "photos": View("Photos", show_photos, without_photo=True),
    "search": View("Beam search", show_search),
    "compare": View("Compare", show_comparison),
    "truth": View("Truth", show_truth),
    "model": View("Model", show_model, without_photo=True),
}


def offered_views(library: Library) -> list[str]:
    needs = {"truth": bool(library.datasets), "photos": library.is_large}
    return [view for view in VIEWS if needs.get(view, True)]
