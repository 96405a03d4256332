"""Parts of a photo that are hidden: from Python, on the command line, in an address and in the files to take away."""

import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from captioning import RectangleError, hide, open_image
from captioning.__main__ import main
from captioning.visualize.export import Scene
from captioning.visualize.formats import FORMATS
from captioning.visualize.player.data import CaptionPane
from tests.helpers import refused
from tests.page import captions_of, errors, report, text_of

GRAY = (128, 128, 128)
UPPER_HALF = (0, 0, 1, 0.5)


@pytest.fixture(scope="module")
def photo(photos) -> Image.Image:
    return open_image(photos / "astronaut.jpg")


def test_every_pixel_that_a_rectangle_touches_is_hidden_and_no_other():
    photo = Image.new("RGB", (10, 4), "red")
    hidden = np.asarray(hide(photo, [(0.25, 0.5, 0.51, 1)]))
    gray = (hidden == GRAY).all(axis=2)
    assert (gray[2:, 2:6]).all()
    assert gray.sum() == 8
    assert (hidden[~gray] == (255, 0, 0)).all()
    assert photo.getcolors() == [(40, (255, 0, 0))]
    # However small it is, and however small the photo.
    assert hide(Image.new("RGB", (1, 1)), [(0.4, 0.4, 0.6, 0.6)]).getpixel((0, 0)) == GRAY


def test_nothing_hidden_changes_nothing_and_everything_hidden_is_a_gray_photo(captioner, photo):
    assert captioner(photo, hidden=[]) == captioner(photo)
    gray = captioner(Image.new("RGB", photo.size, GRAY))
    assert captioner(photo, hidden=[(0, 0, 1, 1)]) == gray
    assert captioner(photo, hidden=[UPPER_HALF, (0, 0.5, 1, 1)]) == gray
    assert captioner(photo, hidden=[UPPER_HALF]) == captioner(hide(photo, [UPPER_HALF]))
    assert captioner(photo, hidden=[UPPER_HALF]) not in (gray, captioner(photo))


@pytest.mark.parametrize(
    "rectangle",
    [(0.5, 0, 0.5, 1), (0, 0.6, 1, 0.4), (-0.1, 0, 1, 1), (0, 0, 1, 1.1), (0, 0, float("nan"), 1), (0, 0, 1),
     ("a", 0, 1, 1), (0, 0, None, 1)],
)  # fmt: skip
def test_what_is_no_rectangle_in_the_photo_is_refused_in_one_sentence(photo, rectangle):
    with refused(RectangleError, "is no rectangle in the photo"):
        hide(photo, [rectangle])


def test_more_rectangles_than_eight_are_refused(photo):
    assert hide(photo, [UPPER_HALF] * 8)
    with refused(RectangleError, "At most 8"):
        hide(photo, [UPPER_HALF] * 9)


def test_the_command_line_hides_parts(run_main, captioner, photos):
    path = photos / "astronaut.jpg"
    parts = [(0.0, 0.0, 0.5, 0.5), (0.5, 0.5, 1.0, 1.0)]
    call = ["caption", path, "--hide", "0,0,.5,.5", "--hide", "0.5,0.5,1,1"]
    expected = captioner(path, hidden=parts)
    assert run_main(main, *call) == (0, f"{expected.text}\n", "")
    said = json.loads(run_main(main, *call, "--json")[1])
    assert (said["caption"], said["hidden"]) == (expected.text, [list(part) for part in parts])


@pytest.mark.parametrize("command", ["caption PHOTO", "export PHOTO --format png -o OUT.png"])
@pytest.mark.parametrize("part", ["0,0,1", "1,0,0,1", "left,0,1,1", "0,0,2,1", ""])
def test_the_command_line_says_what_it_cannot_hide(run_main, photos, tmp_path, command, part):
    names = {"PHOTO": str(photos / "coffee.jpg"), "OUT.png": str(tmp_path / "out.png")}
    words = [names.get(word, word) for word in command.split()]
    code, out, error = run_main(main, *words, "--hide", part)
    assert (code, out) == (2, "")
    assert re.fullmatch(r".* is no rectangle in the photo: give .*\.\n", error)
    assert not list(tmp_path.iterdir())


def test_a_folder_has_no_part_to_hide(run_main, photos, tmp_path):
    code, _, error = run_main(main, "caption", photos, "--output", tmp_path / "out.csv", "--hide", "0,0,1,1")
    assert (code, error.count("\n")) == (2, 1)
    assert "--hide" in error


def test_the_files_show_what_was_hidden(captioner, photo):
    panes = (CaptionPane(captioner(photo)), CaptionPane(captioner(photo, hidden=[UPPER_HALF]), hidden=(UPPER_HALF,)))
    pair = Scene("astronaut.jpg", photo, panes)
    files = {name: kind.make(pair) for name, kind in FORMATS.items()}
    said = json.loads(files["json"])
    assert "hidden" not in said
    assert said["what_if"]["hidden"] == [list(UPPER_HALF)]
    assert said["what_if"]["caption"] == panes[1].caption.text
    # On a slide the second caption has the lower half, which begins with the photo.
    slide = np.asarray(Image.open(io.BytesIO(files["png"])))
    first, second = (np.all(half == GRAY, axis=2).sum() for half in np.split(slide, 2))
    assert second > 100 * (first + 1)
    frame = np.asarray(Image.open(io.BytesIO(files["gif"])).convert("RGB"), dtype=float)
    size = frame.shape[1] // 2
    # Under the heat map what is gray is even, but for the attention's colours.
    edges = [np.abs(np.diff(half[: size // 2], axis=0)).mean() for half in (frame[:, :size], frame[:, size:])]
    assert edges[1] < edges[0]
    assert f'"hidden": [{json.dumps(list(UPPER_HALF))}]' in files["html"].decode()


def test_hidden_parts_and_other_words_are_undone_in_order(start):
    app = start(photo="Astronaut", hide="0,0,1,0.5 0,0.9,1,1", say="a man")
    plain, both = captions_of(app)
    assert both.startswith("a man ")
    assert "said “man” after “a” and it did not see what is gray" in text_of(app)
    assert app.query_params["hide"] == "0,0,1,0.5 0,0.9,1,1"
    report(app, "undo", left=0)
    assert captions_of(app) == [plain]
    assert not {"hide", "say"} & set(app.query_params)


@pytest.mark.parametrize("part", ["0,0,2,1", "<script>", "0,0,1,1 x"])
def test_an_address_that_hides_what_is_no_part_gets_the_photo_and_a_notice(start, part):
    app = start(photo="Astronaut", hide=part)
    assert errors(app) == []
    [notice] = [warning.value.replace("\\", "") for warning in app.warning]
    assert "is no rectangle in the photo" in notice
    assert len(captions_of(app)) == 1
    assert "hide" not in app.query_params


def test_an_address_that_hides_too_much_is_refused(start):
    app = start(photo="Astronaut", hide=" ".join(["0,0,1,0.1"] * 9))
    [message] = errors(app)
    assert "At most 8" in message
    assert len(captions_of(app)) == 1
