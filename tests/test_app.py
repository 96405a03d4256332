"""The app's own script, run without a browser on the real checkpoint."""

import io
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest

from captioning import Captioner, SearchOptions, checkpoint
from tests.conftest import ROOT
from tests.helpers import make_photos


@pytest.fixture
def start(monkeypatch):
    """Starts the app with the given command-line arguments."""

    def run(*arguments: object) -> AppTest:
        monkeypatch.setattr(sys, "argv", ["app.py", *map(str, arguments)])
        return AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()

    return run


@pytest.fixture
def encoded(monkeypatch) -> list[int]:
    """Grows by the number of photos at every run of the encoder."""
    counts = []
    encode = Captioner.encode

    def counting(self, photos):
        counts.append(len(photos))
        return encode(self, photos)

    monkeypatch.setattr(Captioner, "encode", counting)
    return counts


def html(app: AppTest) -> str:
    return "".join(element.proto.body for element in app.get("html"))


def caption_of(app: AppTest) -> str:
    """The sentence on the page, without its end mark."""
    sentence = re.search(r'<p class="sentence">(.*?)</p>', html(app))[1]
    return " ".join(re.findall(r">([^<]+)<", sentence.replace("> <", "><"))[:-1])


def current_word(app: AppTest) -> str:
    return re.search(r'class="now[^"]*">([^<]+)<', html(app))[1]


def picture(app: AppTest) -> str:
    [large] = [image.proto.imgs[0] for image in app.image if "attention" in image.proto.imgs[0].alt]
    return large.url


def errors(app: AppTest) -> list[str]:
    assert not app.exception
    return [error.value.replace("\\", "") for error in app.error]


def upload(app: AppTest, name: str, data: bytes) -> AppTest:
    app.session_state["source"] = "Upload"
    app.run()
    return app.file_uploader(key="upload").set_value((name, data, "image/jpeg")).run()


def test_opens_with_a_sample_already_captioned(start, captioner, photos):
    app = start()
    assert errors(app) == []
    assert caption_of(app) == captioner(photos / "astronaut.png", SearchOptions(beam_size=5)).text
    assert current_word(app) == caption_of(app).split()[0]


def test_shows_the_checkpoints_scores(start, captioner):
    scores = captioner.info.training["scores"]["test"]
    text = " ".join(element.value for element in start().caption).replace("\\", "")
    for row in scores:
        assert f"{row['bleu'][3]:.1f} at beam {row['beam_size']}" in text


def test_stepping_moves_through_the_words_and_computes_nothing(start, encoded, monkeypatch):
    app = start()
    words = [*caption_of(app).split(), "end"]
    runs = len(encoded)
    monkeypatch.setattr(Captioner, "describe", None)
    pictures = []
    for index, word in enumerate(words):
        assert current_word(app) == word
        assert app.slider(key="word").value == index + 1
        pictures.append(picture(app))
        app.button(key="next").click() if index + 1 < len(words) else app.button(key="previous").click()
        app.run()
        assert errors(app) == []
    assert current_word(app) == words[-2]
    app.slider(key="word").set_value(1).run()
    assert current_word(app) == words[0]
    assert len(set(pictures)) == len(words)
    assert len(encoded) == runs


def test_another_beam_width_searches_again_without_encoding_again(start, encoded, captioner, photos):
    expected = {width: captioner(photos / "rocket.jpg", SearchOptions(beam_size=width)).text for width in (1, 10)}
    app = start()
    app.button(key="photo Rocket").click().run()
    runs = len(encoded)
    for width, text in expected.items():
        app.slider(key="beam_size").set_value(width).run()
        assert caption_of(app) == text
    assert len(encoded) == runs


def test_an_uploaded_photo_is_captioned(start, captioner, photos):
    data = (photos / "coffee.png").read_bytes()
    app = upload(start(), "my photo.png", data)
    assert errors(app) == []
    assert caption_of(app) == captioner(data).text


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("text.jpg", lambda photos: b"no photo at all"),
        ("empty.jpg", lambda photos: b""),
        ("cut.jpg", lambda photos: (photos / "rocket.jpg").read_bytes()[:20_000]),
        ("**bold** <b>.jpg", lambda photos: b"no photo at all"),
    ],
)
def test_a_bad_upload_is_told_in_one_sentence(start, photos, name, make):
    [message] = errors(upload(start(), name, make(photos)))
    assert message.startswith(name)
    assert message.endswith(".")


def test_the_gallery_can_be_a_folder(start, tmp_path):
    make_photos(tmp_path, [f"{index}.png" for index in range(14)])
    app = start("--photos", tmp_path)
    assert errors(app) == []
    assert app.selectbox(key="photo").options == sorted(f"{index}.png" for index in range(14))


def test_a_wrong_folder_or_flag_is_told_in_one_sentence(start, tmp_path):
    for arguments in (["--photos", tmp_path], ["--photos", tmp_path / "nowhere"], ["--photo", "x", "--nonsense"]):
        [message] = errors(start(*arguments))
        assert message.endswith(".")


def test_a_photo_that_vanishes_is_told_in_one_sentence(start, tmp_path):
    first, second = make_photos(tmp_path, ["a.png", "b.png"])
    app = start("--photos", tmp_path)
    second.unlink()
    app.run()
    assert errors(app) == []
    first.unlink()
    [message] = errors(app.run())
    assert message.endswith(".")


@pytest.fixture
def checkpoint_folder(tmp_path, monkeypatch, captioner) -> Path:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    shutil.copy(captioner.info.path, folder / "good.safetensors")
    monkeypatch.setattr(checkpoint, "CHECKPOINT_FOLDER", folder)
    return folder


def test_a_bad_checkpoint_is_told_and_the_good_one_still_works(start, checkpoint_folder):
    torch.save({}, checkpoint_folder / "pickle.safetensors")
    app = start()
    expected = caption_of(app)
    picker = app.selectbox(key="checkpoint")
    assert picker.options == ["good", "pickle"]
    [message] = errors(picker.select_index(1).run())
    assert message.startswith("pickle.safetensors")
    assert message.endswith(".")
    app.selectbox(key="checkpoint").select_index(0).run()
    assert errors(app) == []
    assert caption_of(app) == expected


def test_no_checkpoint_at_all_is_told_in_one_sentence(start, checkpoint_folder):
    os.unlink(checkpoint_folder / "good.safetensors")
    [message] = errors(start())
    assert message.endswith(".")


def test_a_photo_of_any_mode_and_size_is_shown(start):
    app = start()
    for image in (Image.new("1", (1, 1)), Image.new("CMYK", (40, 900)), Image.new("RGBA", (3000, 20))):
        file = io.BytesIO()
        image.save(file, "TIFF")
        assert errors(upload(app, "photo.tiff", file.getvalue())) == []
        assert caption_of(app)
