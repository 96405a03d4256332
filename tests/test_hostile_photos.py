"""Photos from anywhere: whatever the bytes and the name are, there is a photo or one sentence, in bounds."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from captioning import ImageError, open_image
from captioning.__main__ import main
from captioning.images import MAX_SIDE
from tests import hostile_photos
from tests.browser import ROOT
from tests.page import errors, upload

pytestmark = pytest.mark.hostile

SECONDS = 5
MEMORY = 600 * 2**20


@pytest.fixture(scope="module")
def sound(photos) -> dict[str, bytes]:
    """A real photo in every format and mode that Pillow writes."""
    with Image.open(photos / "astronaut.jpg") as opened:
        return hostile_photos.in_every_mode(opened.convert("RGB").resize((160, 120)))


def is_photo(data: bytes, called: str | None = None) -> bool:
    """Open it as the program would; whether it is a photo, and not refused in a sentence."""
    started = time.process_time()
    photo, sentence = None, "."
    try:
        photo = open_image(data, called)
    except ImageError as error:
        sentence = str(error)
    assert time.process_time() - started < SECONDS
    assert sentence.endswith(".")
    assert sentence.isprintable()
    assert len(sentence) < 250
    if photo is not None:
        assert photo.mode == "RGB"
        assert 1 <= max(photo.size) <= MAX_SIDE
    return photo is not None


def test_every_mode_of_every_format_is_a_photo(sound):
    assert len(sound) == 35
    for name, data in sound.items():
        assert is_photo(data), name


def test_every_tenth_of_every_photo_is_one_or_is_refused(sound):
    found = [is_photo(data[: len(data) * tenth // 10]) for data in sound.values() for tenth in range(10)]
    assert len(found) == 350
    assert not any(found[::10])


@pytest.mark.parametrize("kind", hostile_photos.WRITERS)
def test_flipped_bytes_give_a_photo_or_a_sentence(sound, kind):
    found = [is_photo(data) for data in hostile_photos.flipped(sound[f"{kind} RGB"], kind, 80)]
    assert len(found) == 80
    assert not all(found)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_hypothesis_makes_of_a_photo_is_one_or_is_refused(sound, data):
    whole = sound[data.draw(st.sampled_from(sorted(sound)))]
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, len(whole)))
    is_photo(whole[:start] + data.draw(st.binary(max_size=64)) + whole[end:], data.draw(st.text(max_size=400)))


def test_what_is_no_photo_is_refused():
    assert len(hostile_photos.NO_PHOTOS) == 18
    for data in hostile_photos.NO_PHOTOS:
        assert not is_photo(data), data[:20]


def test_bombs_are_refused_or_read_within_time():
    bombs = hostile_photos.bombs()
    assert len(bombs) == 48
    found = {name: is_photo(data) for name, data in bombs.items()}
    refused = {name for name, photo in found.items() if not photo}
    assert {"PNG, many profiles", "PNG, many chunks", "JPEG, many comments", "JPEG, much filling"} <= refused
    assert {"JPEG, thousands of scans", "JPEG, much EXIF", "GIF, many comments", "GIF, a long comment"} <= refused
    assert {"TIFF, many strips as bytes", "TIFF, many strips", "TIFF, many orientations"} <= refused
    assert "BMP, a run and an end" in refused
    assert {"GIF, 2,000 frames", "TIFF, 200 pages", "PNG, a megabyte of text", "PNG, 1 × 60000"}.isdisjoint(refused)


@pytest.mark.parametrize("which", ["bombs", "largest"])
def test_nothing_takes_more_memory_than_is_allowed(which, tmp_path):
    """In a process of its own, for the memory that this one has had at most says nothing of a photo."""
    for number, data in enumerate(getattr(hostile_photos, which)().values()):
        (tmp_path / f"{number}.jpg").write_bytes(data)
    script = """
import resource, sys, time
from captioning import ImageError, open_image
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
for path in sys.argv[1:]:
    started = time.process_time()
    try:
        open_image(path)
    except ImageError:
        print("refused")
    print("seconds", time.process_time() - started)
print("peak", (peak() - before) * 1024)
"""
    run = subprocess.run(
        [sys.executable, "-c", script, *sorted(tmp_path.iterdir())],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    values = [line.split() for line in run.stdout.splitlines()]
    assert which == "bombs" or ["refused"] not in values
    assert all(float(value) < SECONDS for name, *rest in values if name == "seconds" for value in rest)
    assert int(values[-1][1]) < MEMORY


@pytest.mark.parametrize("name", hostile_photos.NAMES)
def test_a_name_from_anywhere_is_shown_on_one_line(name, photos):
    assert is_photo((photos / "coffee.jpg").read_bytes(), name)
    assert not is_photo(b"no photo", name)
    with pytest.raises(ImageError) as caught:
        open_image(f"/nowhere/{name}")
    assert str(caught.value).isprintable()


@pytest.fixture(scope="module")
def hostile(sound, tmp_path_factory) -> dict[Path, bool]:
    """Files of every kind in a folder, and whether each is a photo."""
    folder = tmp_path_factory.mktemp("hostile")
    inputs = [*sound.values(), *hostile_photos.NO_PHOTOS]
    inputs += [data[: len(data) // 2] for data in sound.values()]
    inputs += [
        data for kind in hostile_photos.WRITERS for data in hostile_photos.flipped(sound[f"{kind} RGB"], kind, 6)
    ]
    # Large files are attacks on opening alone, which the tests above have seen.
    inputs += [data for data in hostile_photos.bombs().values() if len(data) < 2**20]
    paths = [folder / f"{number:03}.jpg" for number in range(len(inputs))]
    for path, data in zip(paths, inputs, strict=True):
        path.write_bytes(data)
    return {path: is_photo(data) for path, data in zip(paths, inputs, strict=True)}


def test_the_command_captions_what_is_a_photo_and_tells_the_rest(hostile, run_main):
    some = dict(list(hostile.items())[::3])
    code, out, err = run_main(main, "caption", "--beam-size", 1, *some)
    assert code == 2
    assert [line.split(":")[0] for line in out.splitlines()] == [str(path) for path, photo in some.items() if photo]
    messages = err.splitlines()
    assert len(messages) == sum(not photo for photo in some.values())
    assert all(sentence.endswith(".") for sentence in messages)


def test_a_folder_of_them_is_captioned(hostile, run_main, tmp_path):
    assert len(hostile) > 150
    output = tmp_path / "captions.csv"
    code, _, err = run_main(main, "caption", "--beam-size", 1, next(iter(hostile)).parent, "--output", output)
    assert code == 2
    named = [line.split(",")[0] for line in output.read_text().splitlines()[1:]]
    assert named == [path.name for path, photo in hostile.items() if photo]
    messages = [line for line in err.splitlines() if line.endswith(".") and ".jpg" in line]
    assert len(messages) == sum(not photo for photo in hostile.values())


def test_the_app_shows_them_or_tells_why_not(hostile, start):
    app = start()
    for path, photo in list(hostile.items())[::2]:
        messages = errors(upload(app, path.name, path.read_bytes()))
        assert len(messages) == (not photo), path
        assert all(message.endswith(".") for message in messages)


def test_the_app_shows_an_upload_under_any_name(start, photos):
    app, photo = start(), (photos / "coffee.jpg").read_bytes()
    for name in hostile_photos.NAMES:
        # No browser sends these two: NUL is refused by Streamlit itself, and half a character is no UTF-8.
        if "\0" in name or "\udcff" in name:
            continue
        assert errors(upload(app, name, photo)) == []
        [message] = errors(upload(app, name, b"no photo"))
        assert message.endswith(".")


@pytest.mark.parametrize("name", ["photo.exe", "photo", ".jpg", "photo.heic", "photo.svg"])
def test_the_app_looks_into_files_of_any_suffix(start, photos, name):
    app = start()
    assert errors(upload(app, name, (photos / "coffee.jpg").read_bytes())) == []
    [message] = errors(upload(app, name, b"<svg/>"))
    assert message.endswith("is not a photo: choose a JPEG, PNG, WebP, GIF, BMP or TIFF file.")
