"""The views of a caption: the table that the page and its address read, and a file for each."""

from collections.abc import Callable
from dataclasses import dataclass

from captioning.files import FileFingerprint
from captioning.page.library import Library, Photo
from captioning.page.views.beam_search import show_search
from captioning.page.views.compare import show_comparison
from captioning.page.views.model import show_model
from captioning.page.views.step_through import show_steps
from captioning.page.views.truth import show_truth


@dataclass(frozen=True)
class View:
    """A view: its name on screen, and the function that shows it."""

    name: str
    show: Callable[[FileFingerprint, Photo], None]


VIEWS = {
    "step": View("Step through", show_steps),
    "search": View("Beam search", show_search),
    "compare": View("Compare", show_comparison),
    "truth": View("Truth", show_truth),
    "model": View("Model", show_model),
}


def offered_views(library: Library) -> list[str]:
    return [view for view in VIEWS if view != "truth" or library.datasets]
