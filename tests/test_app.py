"""The app's own script, run without a browser on the real checkpoint."""

import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import streamlit as st
import torch
from PIL import Image

from captioning import Captioner, CheckpointError, SearchOptions, open_image
from captioning.data.datasets import read_dataset
from captioning.evaluation.metrics import bleu
from captioning.inference.beam_search import beam_search
from captioning.model.model import load_model, save_model
from captioning.page.card import describe_stages
from captioning.page.gallery import sample_photos
from captioning.page.server import load_first_page
from captioning.page.views.compare import describe_widths
from captioning.record import TrainingRecord
from captioning.vocabulary import SPECIAL_TOKENS, Vocabulary, tokenize
from tests.browser import ROOT
from tests.helpers import make_kaggle, make_photos, tiny_model
from tests.page import (
    button_labels,
    captions_of,
    component_data,
    errors,
    gallery,
    grid,
    player_data,
    report,
    report_all,
    text_of,
    upload,
)


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


@pytest.fixture
def first_photo() -> Path:
    """The photo that the page begins with."""
    return next(iter(sample_photos().values()))


def test_opens_with_a_sample_already_captioned(start, captioner, first_photo):
    app = start()
    assert errors(app) == []
    expected = captioner(first_photo, SearchOptions(beam_size=5))
    [caption] = player_data(app)["captions"]
    assert caption["text"] == expected.text
    assert [step["word"] for step in caption["steps"]] == [step.word for step in expected.steps]
    for shown, step in zip(caption["steps"], expected.steps, strict=True):
        assert shown["probability"] == pytest.approx(step.probability, abs=1e-5)
        assert [word for word, *_ in shown["alternatives"]] == [word for word, _ in step.alternatives]


def test_the_first_page_finds_everything_loaded(start, encoded, monkeypatch):
    st.cache_data.clear()
    st.cache_resource.clear()
    monkeypatch.setattr(sys, "argv", ["app.py"])
    load_first_page()
    assert encoded == [1]
    loaded = []
    monkeypatch.setattr(Captioner, "from_checkpoint", loaded.append)
    app = start()
    assert errors(app) == []
    assert player_data(app)["captions"]
    # The other is the next photo.
    assert (encoded, loaded) == ([1, 1], [])


def test_the_next_photo_is_described_before_anybody_asks_for_it(start, encoded, monkeypatch):
    st.cache_resource.clear()
    app, (first, second, *_) = start(), sample_photos()
    assert (player_data(app)["title"], encoded) == (first, [1, 1])
    report(app, "width", width=3)
    assert encoded == [1, 1]
    report(app, "width", width=5)
    with monkeypatch.context() as patch:
        # Of the photo after that only an error comes, which is for the page to say when it is shown.
        patch.setattr(Captioner, "encode", captioning_fails)
        report(app, "turn", by=1)
    assert errors(app) == []
    assert (player_data(app)["title"], encoded) == (second, [1, 1])


def captioning_fails(*_: object) -> None:
    raise CheckpointError("It computes numbers that are not finite.")


def test_shows_the_checkpoints_scores(start, captioner):
    text = text_of(start())
    for dataset, split in zip(captioner.info.training.datasets, ("test", "dev"), strict=True):
        assert f"{dataset.name} {split}:" in text
        for score in dataset.scores[split]:
            assert f"{score.bleu[3]:.1f} (beam {score.beam_size})" in text


def test_says_how_sure_the_model_is(start, captioner, photos):
    app = start()
    for title in ("Cat", "Rocket", "Dog"):
        report(app, "photo", photo=title)
        [caption] = player_data(app)["captions"]
        expected = captioner(sample_photos()[title])
        assert caption["sureness"] == expected.sureness


def test_another_beam_width_searches_again_without_encoding_again(start, encoded, captioner, photos):
    expected = {width: captioner(photos / "rocket.jpg", SearchOptions(beam_size=width)).text for width in (1, 10)}
    app = start()
    report(app, "photo", photo="Rocket")
    runs = len(encoded)
    for width, text in expected.items():
        report(app, "width", width=width)
        assert captions_of(app) == [text]
    assert len(encoded) == runs


def test_an_uploaded_photo_is_captioned_and_is_not_in_the_address(start, captioner, photos):
    data = (photos / "coffee.jpg").read_bytes()
    app = upload(start(), "my photo.png", data)
    assert errors(app) == []
    assert captions_of(app) == [captioner(data).text]
    assert "photo" not in app.query_params
    assert "not in the page's address" in text_of(app)


# The address


def test_the_address_brings_back_photo_width_look_and_view(start, captioner, photos):
    app = start(photo="Rocket", beam="2", look="contour", view="step")
    assert errors(app) == []
    assert not app.warning
    assert captions_of(app) == [captioner(photos / "rocket.jpg", SearchOptions(beam_size=2)).text]
    expected = {"photo": "Rocket", "beam": "2", "look": "contour", "view": "step"}
    assert {name: value for name, value in app.query_params.items() if name != "checkpoint"} == expected
    assert start(view="model").session_state["view"] == "model"


def test_a_run_that_chooses_nothing_leaves_the_address_alone(start):
    app = start(beam="5")
    # Streamlit asks for a run as soon as somebody has gone back, before the page's own event says so.
    app.query_params["beam"] = "4"
    app.run()
    assert app.session_state["beam_size"] == 5
    assert app.query_params["beam"] == "4"
    report(app, "width", width=6)
    assert app.query_params["beam"] == "6"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("photo", "../../etc/passwd"),
        ("photo", "/etc/passwd"),
        ("beam", "11"),
        ("beam", "-1"),
        ("beam", "many"),
        ("checkpoint", "../secret"),
        ("view", "truth"),
        ("look", "<script>"),
        ("split", "train"),
    ],
)
def test_an_address_with_an_unknown_value_gets_the_default_and_a_notice(start, name, value):
    app = start(**{name: value})
    assert errors(app) == []
    [notice] = [warning.value.replace("\\", "") for warning in app.warning]
    assert name in notice
    assert value in notice
    assert notice.endswith(".")
    assert player_data(app)["title"] == next(iter(sample_photos()))
    assert app.query_params.get(name) != value


def test_a_notice_disappears_once_something_is_chosen(start):
    app = start(photo="nowhere")
    assert len(app.warning) == 1
    report(app, "width", width=2)
    assert len(app.warning) == 0


def test_no_words_in_the_address_are_nothing_to_say(start):
    app = start(say=" ")
    assert errors(app) == []
    assert len(captions_of(app)) == 1


def test_unknown_words_in_the_address_are_reported_in_one_sentence(start):
    app = start(say="zyzzyva <img src=x>")
    [message] = errors(app)
    assert message.endswith(".")
    assert len(captions_of(app)) == 1


# Events of the page's own components


def test_an_event_is_applied_once_though_the_browser_sends_it_again(start):
    app = start()
    titles = list(sample_photos())
    report(app, "turn", by=1)
    assert player_data(app)["title"] == titles[1]
    for _ in range(2):
        app.run()
        assert player_data(app)["title"] == titles[1]


@pytest.mark.parametrize("name", ["width", "open"])
@pytest.mark.parametrize("width", [0, 11, 1000, 2.5, "many", None])
def test_a_beam_width_that_the_page_does_not_offer_is_not_searched(start, name, width):
    app = start(beam="3")
    report(app, name, width=width)
    assert errors(app) == []
    assert app.session_state["beam_size"] == 3


def test_files_show_what_was_chosen_when_they_were_asked_for(start, captioner):
    first, second, *_ = sample_photos()
    app = start()
    ask = {"name": "download", "suffix": "json"}
    # All of it before the page has shown any.
    report_all(app, {"name": "width", "width": 1}, ask, {"name": "turn", "by": 1}, ask, ask)
    assert errors(app) == []
    files = [json.loads(base64.b64decode(message["content"])) for message in component_data(app, "downloads")]
    captions = [captioner(sample_photos()[title], SearchOptions(beam_size=1)).text for title in (first, second, second)]
    assert [file["caption"] for file in files] == captions
    assert player_data(app)["title"] == second


def test_a_file_is_sent_until_the_browser_has_saved_it(start):
    app = start()
    report(app, "download", suffix="json")
    [file] = component_data(app, "downloads")
    app.run()
    assert component_data(app, "downloads") == [file]
    report(app, "saved", id=file["id"])
    assert "captioning_downloads" not in [each.proto.component_name for each in app.get("bidi_component")]


def test_a_file_is_asked_for_after_a_photo_that_cannot_be_shown(start, tmp_path):
    make_photos(tmp_path, ["a.png"])
    (tmp_path / "b.png").write_text("no photo at all")
    app = start("--photos", tmp_path)
    # It is of what was shown last; and what was done after it is done.
    report_all(app, {"name": "turn", "by": 1}, {"name": "download", "suffix": "json"}, {"name": "turn", "by": 1})
    assert errors(app) == []
    [file] = component_data(app, "downloads")
    assert file["name"].startswith("a")
    assert player_data(app)["title"] == "a.png"


def test_an_event_of_a_session_that_was_lost_is_not_applied(start):
    app = start()
    report(app, "turn", by=1, session="another")
    assert player_data(app)["title"] == next(iter(sample_photos()))


def test_a_widget_that_was_set_is_set_again_if_the_browser_has_not_heard_of_it(start, tmp_path):
    # So many that they are chosen from a list, which is a widget.
    first, second, third, *_ = (path.name for path in make_photos(tmp_path, [f"{at:02}.png" for at in range(21)]))
    app = start("--photos", tmp_path)
    report(app, "turn", by=1)
    # What a browser sends if it heard of nothing that the last run sent.
    app.query_params["photo"] = first
    app.selectbox(key="photo").set_value(first).run()
    assert player_data(app)["title"] == second
    # And what it sends if it did.
    app.query_params["photo"] = second
    app.selectbox(key="photo").set_value(first).run()
    assert player_data(app)["title"] == first
    report(app, "turn", by=1)
    app.query_params["photo"] = first
    app.selectbox(key="photo").set_value(third).run()
    assert player_data(app)["title"] == third


def test_the_gallery_shows_which_photo_is_chosen(start):
    app = start(photo="Cat")
    assert [photo["title"] for photo in gallery(app)] == list(sample_photos())
    assert all(photo["url"].startswith("data:image/jpeg;base64,") for photo in gallery(app))
    assert component_data(app, "gallery")[2] == "Cat"
    report(app, "turn", by=1)
    assert component_data(app, "gallery")[2] == app.session_state["photo"] != "Cat"


def test_a_word_of_another_photos_caption_is_not_said(start):
    app = start()
    about = app.session_state["shown"]
    report(app, "change", said=["a", "cat"], hidden=[], about="another photo")
    assert len(captions_of(app)) == 1
    report(app, "change", said=["a", "cat"], hidden=[], about=about)
    assert captions_of(app)[1].startswith("a cat")


# What if


def test_what_if_stands_beside_the_caption_and_undo_goes_back(start, captioner, first_photo):
    plain = captioner(first_photo).text
    first, *_ = plain.split()
    app = start(say=f"{first} dog")
    assert errors(app) == []
    before, after = captions_of(app)
    assert before == plain
    assert after.startswith(f"{first} dog ")
    one, two = player_data(app)["captions"]
    assert all(re.fullmatch(r"log-probability −\d+\.\d\d", caption["note"]) for caption in (one, two))
    assert [step["word"] for step in two["steps"] if step["forced"]] == ["dog"]
    report(app, "undo", left=0)
    assert captions_of(app) == [plain]
    assert "say" not in app.query_params


def test_a_caption_that_the_search_dropped_is_said_to_be_likelier(start, captioner):
    both = {
        title: [captioner(path, SearchOptions(beam_size=width)).hypotheses[0] for width in (1, 5)]
        for title, path in list(sample_photos().items())[:6]
    }
    title, (greedy, wide) = max(both.items(), key=lambda each: each[1][1].score - each[1][0].score)
    assert wide.log_probability > greedy.log_probability
    _, other = player_data(start(photo=title, beam="1", say=wide.text))["captions"]
    assert other["text"] == wide.text
    assert other["note"].endswith(", likelier than what it said: the search dropped it at width 1")
    _, other = player_data(start(photo=title, beam="5", say=greedy.text))["captions"]
    assert "likelier" not in other["note"]


def test_a_caption_that_says_a_word_again_was_not_dropped_by_the_search(start, captioner, photos):
    vocabulary, photo = captioner.info.vocabulary, captioner.encode([open_image(photos / "camera.jpg")])
    options = SearchOptions(beam_size=1)
    [[again]] = beam_search(captioner.backend, photo.photos, options)
    [[found]] = beam_search(captioner.backend, photo.photos, options, once=vocabulary.once)
    assert again.log_probability > found.log_probability
    said = vocabulary.decode(again.tokens)
    assert vocabulary.repeats(said)
    assert not vocabulary.repeats(vocabulary.decode(found.tokens))
    _, other = player_data(start(photo="Camera", beam="1", say=" ".join(said)))["captions"]
    assert other["text"] == " ".join(said)
    assert "likelier" not in other["note"]


def test_another_photo_forgets_what_if_and_another_width_does_not(start):
    app = start(say="a dog")
    report(app, "width", width=2)
    assert len(captions_of(app)) == 2
    report(app, "photo", photo="Motorbike")
    assert len(captions_of(app)) == 1


# The other views


def test_the_search_shows_its_tree_and_its_final_hypotheses(start, captioner, photos):
    app = start(view="search", beam="3", photo="Motorbike")
    assert errors(app) == []
    search, about, width = component_data(app, "tree")
    steps = search["steps"]
    caption = captioner(photos / "motorcyclist-in-fog.jpg", SearchOptions(beam_size=3))
    won = [node["label"] for step in steps for node in step if node["fate"] == "won"]
    assert won == [*caption.text.split(), "end"]
    assert {node["fate"] for step in steps for node in step} == {"won", "finished", "abandoned", "dropped"}
    [table] = app.table
    assert list(table.value["Caption"]) == [found.text for found in caption.hypotheses]
    assert list(table.value["Length-normalised score"]) == [
        f"{found.score:.3f}".replace("-", "−") for found in caption.hypotheses
    ]
    # A box that is chosen is what the model says next.
    words = [steps[0][1]["word"]]
    report(app, "change", said=words, hidden=[], about=about)
    report(app, "open", width=width)
    assert [step["word"] for step in player_data(app)["captions"][1]["steps"]][:1] == words


def test_the_comparison_has_each_caption_once_with_the_widths_that_find_it(start, checkpoint_folder, captioner, photos):
    app = start(view="compare", photo="Noodles")
    assert errors(app) == []
    photo = photos / "bowl-of-noodles.jpg"
    captions = [captioner(photo, SearchOptions(beam_size=width)).text for width in range(1, 11)]
    buttons = [each for each in app.get("bidi_component") if each.proto.component_name == "captioning_buttons"]
    assert len(buttons) == len(set(captions)) > 1
    text, marked = text_of(app), " ".join(element.value for element in app.markdown)
    for caption in captions:
        assert caption in text
        for word in set(caption.split()) - set(captions[0].split()):
            assert f"**{word}**" in marked
    assert "no other checkpoint" in text
    width = captions.index(captions[-1]) + 1
    report(app, "open", width=width)
    assert (app.session_state.beam_size, captions_of(app)) == (width, [captions[-1]])


@pytest.mark.parametrize(
    ("widths", "said"),
    [([1], "Width 1"), ([2, 3, 4], "Widths 2 to 4"), ([1, 3, 4, 7], "Widths 1, 3 to 4, 7")],
)
def test_beam_widths_in_words(widths, said):
    assert describe_widths(widths) == said


def test_two_checkpoints_stand_side_by_side(start, checkpoint_folder, captioner, first_photo):
    shutil.copy(captioner.info.path, checkpoint_folder / "other.safetensors")
    app = start(view="compare", other="other")
    assert errors(app) == []
    assert [caption["heading"] for caption in player_data(app)["captions"]] == ["good", "other"]
    assert set(captions_of(app)) == {captioner(first_photo).text}


def test_the_model_page_shows_what_the_checkpoint_records(start, captioner):
    app = start(view="model")
    assert errors(app) == []
    text = text_of(app)
    info = captioner.info
    parameters = sum(tensor.numel() for tensor in load_model(info.path)[0].parameters())
    for fact in (info.config.encoder, f"{len(info.vocabulary):,} words", f"{parameters / 1e6:.1f} million"):
        assert fact in text
    assert "what it is bad at" in text.lower()
    scores = app.table[0].value
    found = [score for dataset in info.training.datasets for rows in dataset.scores.values() for score in rows]
    assert len(scores) == len(found)
    measures = {name for score in found for name in score.measures} - {"cider", "rouge_l", "meteor"}
    assert len(app.table[1].value) == len(measures) > 0
    # What each number says stands beside it.
    assert all(app.table[1].value["What it says"])
    stages = [stage for stage in info.training.stages if stage.epochs]
    chooser = app.selectbox(key="stage")
    assert len(chooser.options) == len(stages) > 3
    for name, stage in zip(chooser.options, stages, strict=True):
        app.selectbox(key="stage").set_value(name).run()
        assert errors(app) == []
        assert f"Stage {stage.stage}" in name
        [table] = [table.value for table in app.table[2:]]
        assert len(table) == len(stage.epochs)
        assert [code.value for code in app.code] == [stage.command]
        [curves] = [described.curves for described in describe_stages(info) if described.name == name]
        assert {"Loss", "Top-5 accuracy", "BLEU-4", "CIDEr", "Score"} <= {curve.name for curve in curves}
        assert len(app.get("vega_lite_chart")) == len(curves)


def test_truth_shows_the_references_and_the_caveat(start, captioner, flickr8k):
    app = start("--data", flickr8k, view="truth", split="test")
    assert errors(app) == []
    example = read_dataset(flickr8k).split("test")[0]
    text = text_of(app)
    for reference in example.captions:
        # Flickr8k has blanks before its full stops.
        assert reference.replace(" .", ".").replace(" ,", ",") in text
    assert "says little" in text
    caption = captioner(example.photo).text
    assert caption in text
    # Marked is what both say, and nothing else.
    marked = set(re.findall(r"\*\*(\w+)", " ".join(element.value for element in app.markdown)))
    theirs = set(tokenize(" ".join(example.captions)))
    assert {word.lower() for word in marked} == theirs & set(caption.split())
    expected = bleu([caption.split()], [[tokenize(reference) for reference in example.captions]])
    assert {metric.label: metric.value for metric in app.metric} == {
        f"BLEU-{n}": f"{score:.1f}" for n, score in enumerate(expected, start=1)
    }


def test_a_data_set_can_be_browsed_and_searched(start, flickr8k):
    app = start("--data", flickr8k)
    assert errors(app) == []
    dataset = read_dataset(flickr8k)
    assert app.selectbox(key="photo").options == [example.photo.name for example in dataset.split("dev")]
    app.text_input(key="words").set_value("Frisbee dog").run()
    found = app.selectbox(key="photo").options
    assert 0 < len(found) < 200
    captions = {example.photo.name: " ".join(example.captions).lower() for example in dataset.split("dev")}
    assert all("frisbee" in captions[name] and "dog" in captions[name] for name in found)
    report(app, "random")
    assert errors(app) == []
    assert player_data(app)["title"] in found
    assert app.query_params["photo"] == player_data(app)["title"]
    app.text_input(key="words").set_value("zyzzyva").run()
    assert "No photo" in text_of(app)


def test_many_photos_are_described_found_ordered_and_picked(start, tmp_path, captioner, photos):
    files = sorted(photos.glob("*.jpg"))
    captions = {}
    for index in range(30):
        path = tmp_path / f"{index:02}.jpg"
        path.write_bytes(files[index % len(files)].read_bytes())
        captions[path.name] = captioner(files[index % len(files)])
    (tmp_path / "99.jpg").write_text("no photo at all")
    app = start("--photos", tmp_path, view="photos")
    while any(not shown["picture"] for shown in grid(app)):
        app.run()
    assert errors(app) == []
    first = dict(list(captions.items())[:24])
    assert [shown["label"] for shown in grid(app)] == [caption.text for caption in first.values()]
    app.text_input(key="words").set_value("dog running").run()
    while "more to describe" in text_of(app):
        app.run()
    found = {name: caption for name, caption in captions.items() if {"dog", "running"} <= set(caption.text.split())}
    assert [shown["help"] for shown in grid(app)] == list(found)
    app.text_input(key="words").set_value("99").run()
    assert grid(app)[0]["label"].startswith("99.jpg is not a photo")
    app.text_input(key="words").set_value("").run()
    app.button_group(key="order").set_value("Least sure first").run()
    ranked = sorted(captions, key=lambda name: captions[name].sureness)
    assert [shown["help"] for shown in grid(app)] == ranked[:24]
    report(app, "pick", photo=ranked[2])
    assert (app.session_state.view, player_data(app)["title"]) == ("step", ranked[2])
    report(app, "turn", by=1)
    assert player_data(app)["title"] == ranked[3]


def test_several_data_sets_can_be_browsed(start, tmp_path):
    folders = [make_kaggle(tmp_path / name) for name in ("one", "two")]
    app = start("--data", *folders, split="dev")
    assert errors(app) == []
    one, two = ([example.photo.name for example in read_dataset(folder).split("dev")] for folder in folders)
    assert app.selectbox(key="photo").options == [*one, *(f"{name} (two)" for name in two)]


def test_a_data_set_with_a_train_split_alone_is_reported_in_one_sentence(start, tmp_path):
    make_photos(tmp_path, ["a.png"])
    photo = {"filename": "a.png", "split": "train", "sentences": [{"raw": "a dog"}]}
    (tmp_path / "dataset_mine.json").write_text(json.dumps({"dataset": "mine", "images": [photo]}))
    [message] = errors(start("--data", tmp_path))
    assert message.endswith("dev and test.")


def test_a_folder_without_a_data_set_is_reported_in_one_sentence(start, tmp_path):
    [message] = errors(start("--data", tmp_path))
    assert message.endswith(".")


# What can go wrong


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("text.jpg", lambda photos: b"no photo at all"),
        ("empty.jpg", lambda photos: b""),
        ("cut.jpg", lambda photos: (photos / "rocket.jpg").read_bytes()[:20_000]),
        ("**bold** <b>.jpg", lambda photos: b"no photo at all"),
    ],
)
def test_a_bad_upload_is_reported_in_one_sentence(start, photos, name, make):
    [message] = errors(upload(start(), name, make(photos)))
    assert message.startswith(name)
    assert message.endswith(".")


def test_the_gallery_can_be_a_folder(start, tmp_path):
    make_photos(tmp_path, [f"{index}.png" for index in range(24)])
    app = start("--photos", tmp_path)
    assert errors(app) == []
    assert app.selectbox(key="photo").options == sorted(f"{index}.png" for index in range(24))


def test_a_folder_may_hold_other_files_than_photos(start, tmp_path):
    make_photos(tmp_path, ["a.png", ".hidden.png"])
    (tmp_path / os.fsdecode(b"caf\xe9.png")).write_bytes((tmp_path / "a.png").read_bytes())
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    app = start("--photos", tmp_path)
    assert errors(app) == []
    assert [photo["title"] for photo in gallery(app)] == ["a.png"]


def test_a_photo_that_is_replaced_is_read_again(start, tmp_path):
    make_photos(tmp_path, ["a.png"])
    app = start("--photos", tmp_path)
    before = gallery(app)
    Image.new("RGB", (90, 60), "red").save(tmp_path / "a.png")
    app.run()
    assert errors(app) == []
    assert player_data(app)["photo"]["width"] == 90
    assert gallery(app) != before


def test_a_folder_that_goes_away_and_comes_back_finds_the_page_as_it_was(start, tmp_path):
    folder, elsewhere = tmp_path / "photos", tmp_path / "elsewhere"
    folder.mkdir()
    make_photos(folder, ["a.png", "b.png"])
    app = start("--photos", folder, photo="b.png", beam="3", view="search")
    assert errors(app) == []
    folder.rename(elsewhere)
    [message] = errors(app.run())
    assert message.startswith("There is no folder")
    elsewhere.rename(folder)
    assert errors(app.run()) == []
    state = app.session_state
    assert (state.source, state.photo, state.beam_size, state.view) == ("Gallery", "b.png", 3, "search")


def test_a_photo_of_the_gallery_that_cannot_be_read_leaves_the_others(start, tmp_path):
    broken, _ = make_photos(tmp_path, ["a.png", "b.png"])
    broken.write_text("no photo at all")
    app = start("--photos", tmp_path)
    [message] = errors(app)
    assert message.startswith("a.png")
    report(app, "photo", photo="b.png")
    assert errors(app) == []
    assert player_data(app)["title"] == "b.png"


def test_a_wrong_folder_or_flag_is_reported_in_one_sentence(start, tmp_path):
    for arguments in (["--photos", tmp_path], ["--photos", tmp_path / "nowhere"], ["--photo", "x", "--nonsense"]):
        [message] = errors(start(*arguments))
        assert message.endswith(".")


def test_a_photo_that_vanishes_is_reported_in_one_sentence(start, tmp_path):
    first, second = make_photos(tmp_path, ["a.png", "b.png"])
    app = start("--photos", tmp_path)
    second.unlink()
    app.run()
    assert errors(app) == []
    first.unlink()
    [message] = errors(app.run())
    assert message.endswith(".")


def test_a_bad_checkpoint_is_reported_and_the_good_one_still_works(start, checkpoint_folder):
    torch.save({}, checkpoint_folder / "pickle.safetensors")
    app = start()
    expected = captions_of(app)
    picker = app.selectbox(key="checkpoint")
    assert picker.options == ["good", "pickle"]
    [message] = errors(picker.select_index(1).run())
    assert message.startswith("pickle.safetensors")
    assert message.endswith(".")
    app.selectbox(key="checkpoint").select_index(0).run()
    assert errors(app) == []
    assert captions_of(app) == expected


def test_a_missing_checkpoint_is_reported_in_one_sentence(start, checkpoint_folder):
    os.unlink(checkpoint_folder / "good.safetensors")
    [message] = errors(start())
    assert message.endswith(".")


def test_a_picture_for_which_there_is_no_font_is_refused_once(start, checkpoint_folder, tmp_path, monkeypatch):
    for name in ("XDG_DATA_DIRS", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    words = Vocabulary([*SPECIAL_TOKENS, *"一二三四五六七八"])
    save_model(checkpoint_folder / "chinese.safetensors", tiny_model(), words, TrainingRecord())
    app = start(checkpoint="chinese")
    assert set(captions_of(app)[0].split()) <= set(words.words)
    [message] = errors(report(app, "download", suffix="gif"))
    assert message.startswith("No installed font has the letters of ")
    assert errors(app.run()) == []


def test_a_photo_of_any_mode_and_size_is_shown(start):
    app = start()
    for image in (Image.new("1", (1, 1)), Image.new("CMYK", (40, 900)), Image.new("RGBA", (3000, 20))):
        file = io.BytesIO()
        image.save(file, "TIFF")
        assert errors(upload(app, "photo.tiff", file.getvalue())) == []
        assert captions_of(app)[0]


def test_what_is_imported_is_left_out_of_the_collection_after_every_run():
    # All sessions wait for it.
    script = (
        "import gc; from captioning import Captioner; from captioning.page.process import set_up_process; "
        "before = len(gc.get_objects()); set_up_process(); print(before, len(gc.get_objects()))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    before, after = map(int, run.stdout.split())
    assert after < before / 10


def test_an_audience_is_shown_the_way_to_the_page_without_a_server(start):
    assert "Let the audience try" not in button_labels(start())
    app = start("--site", "https://example.org/captions")
    assert "Let the audience try" in button_labels(app)
    report(app, "audience")
    assert not app.exception
    assert any("https://example.org/captions" in each.value for each in app.markdown)
    for wrong in ("example.org", "javascript:alert(1)", "https://example.org/) [x](y"):
        assert "is no address of a page" in start("--site", wrong).error[0].value


def test_a_photo_of_the_gallery_stays_after_one_of_a_data_set(start, tmp_path):
    app = start("--data", make_kaggle(tmp_path))
    app.selectbox(key="photo").set_value(app.selectbox(key="photo").options[1]).run()
    app.session_state["source"] = "Gallery"
    app.run()
    report(app, "photo", photo="Pizza")
    for width in (3, 4):
        report(app, "width", width=width)
        assert player_data(app)["title"] == "Pizza"
