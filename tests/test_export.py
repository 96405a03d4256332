"""The exported files, and the pictures and descriptions that they are made of."""

import io
import json
import re
import sys
import tomllib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from imageio_ffmpeg import read_frames
from PIL import Image

from captioning import CaptioningError, SearchOptions, open_image
from captioning.__main__ import main
from captioning.files import write_whole
from captioning.visualize.drawing import drawn
from captioning.visualize.export import DARK, LIGHT, Scene, file_name
from captioning.visualize.fonts import font_for
from captioning.visualize.formats import FORMATS
from captioning.visualize.looks import LOOKS
from captioning.visualize.overlay import (
    COLOR_MAPS,
    attention_map,
    attention_overlay,
    color_table,
    half_outlines,
    looked_everywhere,
)
from captioning.visualize.player.data import CaptionPane, player_data
from tests.browser import ROOT
from tests.helpers import refused

ARABIC = "كلب يجري في الشارع"


@pytest.fixture(scope="module")
def scene(captioner, photos) -> Scene:
    photo = open_image(photos / "astronaut.jpg")
    return Scene("astronaut.jpg", photo, (CaptionPane(captioner(photo)),), credit="made for a test")


def peaked(row: int, column: int) -> np.ndarray:
    weights = np.full((8, 8), 0.002, dtype=np.float32)
    weights[row, column] = 1
    return weights / weights.sum()


def test_every_format_has_the_caption_that_follows_from_another_word(scene, captioner):
    [other] = captioner.describe(captioner.encode([scene.photo]), prefixes=[["two"]])
    pair = replace(scene, panes=(*scene.panes, CaptionPane(other, "What it says then", forced=1)))
    said = json.loads(FORMATS["json"].make(pair))
    assert (said["caption"], said["what_if"]["caption"]) == (scene.caption.text, other.text)
    assert other.text.startswith("two ")
    one, two = (Image.open(io.BytesIO(FORMATS["gif"].make(each))) for each in (scene, pair))
    assert two.width == 2 * one.width
    assert two.n_frames == max(len(scene.caption.steps), len(other.steps))
    # The first half shows what the file of the first caption alone shows, but for the colours of its palette.
    left = np.asarray(two.convert("RGB").crop((0, 0, *one.size)), dtype=float)
    assert np.abs(left - np.asarray(one.convert("RGB"), dtype=float)).mean() < 12
    # Each caption has a half of the slide, as it has with itself.
    twice = replace(pair, panes=(pair.panes[0],) * 2)
    two, same = (np.asarray(Image.open(io.BytesIO(FORMATS["png"].make(each)))) for each in (pair, twice))
    middle = len(two) // 2
    assert np.array_equal(two[:middle], same[:middle])
    assert np.array_equal(same[:middle], same[middle:])
    assert not np.array_equal(two[middle:], same[middle:])
    assert other.text in FORMATS["html"].make(pair).decode()


def frames_of(video: bytes, folder: Path) -> tuple[dict, list[np.ndarray]]:
    """What ffmpeg says of a video, and its frames."""
    path = folder / "video.mp4"
    path.write_bytes(video)
    about, *frames = read_frames(str(path))
    width, height = about["size"]
    return about, [np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in frames]


@pytest.mark.parametrize("size", [(200, 150), (151, 201)])
def test_a_video_shows_every_word_as_long_as_the_gif(scene, tmp_path, size):
    """In H.264, with even sides whatever those of the photo are."""
    resized = replace(scene, photo=scene.photo.resize(size))
    about, frames = frames_of(FORMATS["mp4"].make(resized), tmp_path)
    assert about["codec"] == "h264"
    steps = len(scene.caption.steps)
    assert about["duration"] == pytest.approx(1.3 * (steps + 1), abs=0.2)
    # In the middle of each word's time another word is marked.
    middles = [frames[round(1.3 * about["fps"] * (index + 0.5))] for index in range(steps)]
    gif = Image.open(io.BytesIO(FORMATS["gif"].make(resized)))
    for index, frame in enumerate(middles):
        gif.seek(index)
        same = np.asarray(gif.convert("RGB").resize(frame.shape[1::-1]), dtype=float)
        differences = [np.abs(other - same).mean() for other in middles]
        assert differences[index] == min(differences)


def test_a_video_without_the_library_is_refused_in_one_sentence(scene, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with refused(CaptioningError, "pip install imageio-ffmpeg"):
        FORMATS["mp4"].make(scene)


def test_where_the_model_looked_everywhere_pictures_say_so(scene):
    [first, *others] = scene.caption.steps
    for attention, tagged in ((np.full((8, 8), 1 / 64, dtype=np.float32), True), (peaked(2, 3), False)):
        steps = (replace(first, attention=attention), *others)
        pane = CaptionPane(replace(scene.caption, steps=steps))
        corners = [
            np.asarray(picture.crop((0, picture.height - 40, picture.width // 2, picture.height)), dtype=int)
            for picture in (drawn(scene.photo, pane, 0, "heat"), attention_overlay(scene.photo, attention))
        ]
        assert bool(np.abs(corners[0] - corners[1]).max()) == tagged


def worded(scene: Scene, text: str) -> Scene:
    """The scene with other words in its caption."""
    caption, words = scene.caption, text.split()
    steps = [replace(step, word=word) for step, word in zip(caption.steps, words, strict=False)]
    [best, *_] = caption.hypotheses
    other = replace(caption, steps=(*steps, caption.steps[-1]), hypotheses=(replace(best, text=text),))
    return replace(scene, panes=(CaptionPane(other),))


def places_of_the_mark(gif: bytes) -> list[float]:
    """Where the marked word stands in each frame, from left to right."""
    image, places = Image.open(io.BytesIO(gif)), []
    for index in range(image.n_frames):
        image.seek(index)
        below = np.asarray(image.convert("RGB"), dtype=int)[-60:]
        places.append(np.argwhere(np.abs(below - (109, 40, 217)).sum(axis=2) < 60)[:, 1].mean())
    return places


def test_captions_of_other_scripts_have_their_letters_and_their_direction(scene):
    """Letters that a font lacks would all be drawn alike."""
    try:
        font_for(ARABIC, 20)
    except CaptioningError as error:
        pytest.skip(str(error))
    for text, falls in (("a dog runs", False), ("ein hund läuft", False), (ARABIC, True)):
        places = places_of_the_mark(FORMATS["gif"].make(worded(scene, text)))
        assert places == sorted(places, reverse=falls)
    strips = [FORMATS["png"].make(worded(scene, text)) for text in (ARABIC, ARABIC.replace("كلب", "طفل"))]
    assert strips[0] != strips[1]


def test_a_caption_for_which_there_is_no_font_is_refused_in_one_sentence(scene, tmp_path, monkeypatch):
    for name in ("XDG_DATA_DIRS", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    unreadable = worded(scene, "一 只 狗")
    for kind in ("gif", "png"):
        with refused(CaptioningError, "狗", "install"):
            FORMATS[kind].make(unreadable)
    assert json.loads(FORMATS["json"].make(unreadable))["caption"] == "一 只 狗"
    assert json.dumps("一 只 狗") in FORMATS["html"].make(unreadable).decode()
    # Who made a photo may have any name.
    assert FORMATS["png"].make(replace(scene, credit="狗"))


@pytest.mark.parametrize("look", LOOKS)
def test_the_brightest_place_is_where_the_model_looked(look):
    photo = Image.new("RGB", (320, 240), (120, 120, 120))
    for row, column in ((0, 0), (3, 5), (7, 7)):
        drawn = np.asarray(attention_overlay(photo, peaked(row, column), look=look), dtype=float).mean(axis=2)
        cells = drawn.reshape(8, 30, 8, 40).mean(axis=(1, 3))
        assert np.unravel_index(cells.argmax(), cells.shape) == (row, column)


def test_the_outline_holds_half_of_the_attention_in_as_little_as_can_be(captioner, photos):
    for step in captioner(photos / "astronaut.jpg").steps:
        weights = np.asarray(
            Image.fromarray(step.attention).resize((64, 64), Image.Resampling.BICUBIC), dtype=float
        ).clip(0)
        centers = (np.indices((64, 64)) + 0.5) / 64
        inside = np.zeros((64, 64), dtype=bool)
        for outline in half_outlines(step.attention):
            assert (outline >= 0).all()
            assert (outline <= 1).all()
            np.testing.assert_allclose(outline[0], outline[-1])
            inside ^= _contains(outline, centers[1], centers[0])
        share = weights[inside].sum() / weights.sum()
        assert share == pytest.approx(0.5, abs=0.03)
        assert weights[inside].min() >= weights[~inside].max() - 1e-6


def _contains(outline: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Which points lie in a closed line, by how often a ray to the right crosses it."""
    crossed = np.zeros(x.shape, dtype=int)
    for (x1, y1), (x2, y2) in pairwise(outline):
        if y1 == y2:
            continue
        at = x1 + (y - y1) * (x2 - x1) / (y2 - y1)
        crossed += ((y1 > y) != (y2 > y)) & (x < at)
    return crossed % 2 == 1


def test_attention_that_is_the_same_everywhere_stays_dim():
    assert attention_map(np.full((8, 8), 1 / 64)).max() < 64
    assert half_outlines(np.full((8, 8), 1 / 64))
    assert attention_map(peaked(2, 2)).max() == 255


@pytest.mark.parametrize("look", [*LOOKS][:3])
def test_a_photo_that_was_looked_at_everywhere_stays_as_it_is_and_some_words_look_so(captioner, photos, look):
    photo = open_image(photos / "kitchen.jpg")
    steps = captioner(photo).steps
    plain = [attention_overlay(photo, step.attention, look=look) == photo for step in steps]
    assert plain == [looked_everywhere(step.attention) for step in steps]
    assert {*plain} == {True, False}


def test_the_players_data_has_what_the_search_found(captioner, scene):
    data = player_data("Astronaut", scene.photo, scene.panes)
    assert json.loads(json.dumps(data)) == data
    [caption] = data["captions"]
    assert caption["text"] == scene.caption.text
    for shown, step in zip(caption["steps"], scene.caption.steps, strict=True):
        np.testing.assert_allclose(shown["attention"], step.attention.flatten(), atol=1e-5)
    assert player_data("Astronaut", scene.photo, scene.panes)["id"] == data["id"]
    assert player_data("Other", scene.photo, scene.panes)["id"] != data["id"]


def test_every_format_is_written_by_the_command_line_too(run_main, captioner, photos, tmp_path):
    path = photos / "motorcyclist-in-fog.jpg"
    caption = captioner(path, SearchOptions(beam_size=3))
    for kind in FORMATS:
        output = tmp_path / f"out.{kind}"
        call = ("export", path, "--format", kind, "-o", output, "--beam-size", 3)
        assert run_main(main, *call) == (0, "", "")
    with Image.open(tmp_path / "out.gif") as gif:
        assert gif.n_frames == len(caption.steps)
        assert gif.info["loop"] == 0
    with Image.open(tmp_path / "out.png") as png:
        assert png.size == (1920, 1080)
    data = json.loads((tmp_path / "out.json").read_text())
    assert data["photo"] == str(path)
    assert {key: data[key] for key in ("caption", "words", "hypotheses")} == {
        key: json.loads(json.dumps(caption.as_dict()))[key] for key in ("caption", "words", "hypotheses")
    }
    assert caption.text in (tmp_path / "out.html").read_text()


def test_what_cannot_be_exported_is_reported_in_one_sentence(run_main, photos, tmp_path):
    (tmp_path / "kept.gif").write_text("here before")
    photo = photos / "coffee.jpg"
    calls = [
        ("export", tmp_path / "no.jpg", "--format", "gif", "-o", tmp_path / "kept.gif"),
        ("export", photo, "--format", "gif", "-o", tmp_path / "nowhere" / "out.gif"),
        ("export", photo, "--format", "gif", "-o", tmp_path),
        ("export", photo, "--format", "avi", "-o", tmp_path / "out.mp4"),
        ("export", photo, "--format", "gif"),
    ]
    for call in calls:
        code, out, err = run_main(main, *call)
        assert (code, out) == (2, ""), call
        assert err.count("\n") == 1, call
        assert err.endswith(".\n"), call
    assert (tmp_path / "kept.gif").read_text() == "here before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept.gif"]


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    write_whole(tmp_path / "out", b"one")
    write_whole(tmp_path / "out", b"two")
    assert (tmp_path / "out").read_bytes() == b"two"
    with refused(CaptioningError, "out"):
        write_whole(tmp_path / "out" / "deeper", b"three")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_names_and_words_are_text_in_the_page(scene):
    title = "</script><script>alert(1)</script><img src=x>.png"
    page = FORMATS["html"].make(Scene(title, scene.photo, scene.panes, credit="<b>bold</b>")).decode()
    assert page.count("</script>") == 2
    assert "<img" not in page
    assert "<b>" not in page
    data = re.search(r'<script type="application/json" id="player-data">(.*?)</script>', page, re.DOTALL)[1]
    assert json.loads(data)["captions"][0]["text"] == scene.caption.text
    assert not re.search(r"https?://(?!www\.w3\.org)", page)
    assert "/" not in file_name(Scene("../../etc/passwd", scene.photo, scene.panes), "gif")


@pytest.mark.parametrize("size", [(1, 1), (40, 900), (1280, 20), (1, 1280), (1280, 1)])
def test_photos_of_any_shape_can_be_taken_away(captioner, size):
    photo = Image.new("RGB", size, "red")
    scene = Scene("thin.png", photo, (CaptionPane(captioner(photo)),))
    for kind in FORMATS.values():
        assert kind.make(scene)


@pytest.mark.parametrize("size", [(30, 20), (1280, 20), (20, 1280)])
def test_a_slide_of_16_to_9_holds_a_photo_of_any_shape_and_as_many_words_as_there_are(scene, size):
    for captions, count in ((1, 1), (1, 9), (2, 30)):
        pane = CaptionPane(replace(scene.caption, steps=(scene.caption.steps[0],) * count))
        content = FORMATS["png"].make(Scene("a.png", Image.new("RGB", size, "red"), (pane,) * captions))
        slide = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
        assert slide.shape == (1080, 1920)
        # Nothing is cut off at an edge, nor where the second caption begins.
        for edge in (slide[:30], slide[:, :30], slide[:, -30:], slide[-10:], slide[1080 // captions - 10 :][:40]):
            assert edge.min() == 255


def test_the_page_has_the_colours_of_the_app():
    theme = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())["theme"]
    for scheme, colors in (("light", LIGHT), ("dark", DARK)):
        assert colors == {
            "primary": theme[scheme]["primaryColor"],
            "background": theme[scheme]["backgroundColor"],
            "text": theme[scheme]["textColor"],
            "border": theme[scheme]["borderColor"],
        }


def test_the_colour_maps_are_matplotlibs():
    for name in COLOR_MAPS:
        expected = (matplotlib.colormaps[name](np.arange(256))[:, :3] * 255).round().astype(np.uint8)
        np.testing.assert_array_equal(color_table(name), expected)
