"""Photo in, caption out, with the real checkpoint and real photos."""

import copy
import math
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from captioning import DEFAULT_CHECKPOINT, Caption, Captioner, ImageError, PrefixError, SearchOptions, open_image
from captioning.data.datasets import read_dataset
from captioning.inference.captioner import BATCH_SIZE
from captioning.model.model import load_model
from tests.browser import ROOT
from tests.helpers import forge, refused
from tests.plain_search import plain_beam_search


def test_a_caption_accounts_for_itself(captioner, photos):
    caption = captioner(photos / "astronaut.jpg", SearchOptions(beam_size=5))
    *words, end = caption.steps
    assert " ".join(step.word for step in words) == caption.text
    assert end.end
    assert end.word == "<end>"
    assert not any(step.end for step in words)
    assert math.prod(step.probability for step in caption.steps) == pytest.approx(math.exp(caption.log_probability))
    for step in caption.steps:
        assert step.attention.shape == captioner.backend.grid
        assert step.attention.dtype == np.float32
        assert step.attention.sum() == pytest.approx(1, abs=1e-5)
        likeliest = [probability for _, probability in step.alternatives]
        assert likeliest == sorted(likeliest, reverse=True)
        assert step.probability <= likeliest[0] + 1e-6
        assert dict(step.alternatives).get(step.word, step.probability) == pytest.approx(step.probability)


def test_attention_moves_from_word_to_word(captioner, photos):
    caption = captioner(photos / "astronaut.jpg")
    maps = np.stack([step.attention for step in caption.steps])
    total_variation = np.abs(np.diff(maps, axis=0)).sum(axis=(1, 2)) / 2
    assert (total_variation > 0.01).all()


def test_path_bytes_file_and_image_give_the_same_caption(captioner, photos):
    path = photos / "coffee.jpg"
    with path.open("rb") as file, Image.open(path) as image:
        pixels = np.asarray(image)
        sources = [path, str(path), path.read_bytes(), file, open_image(path), image, pixels]
        sources.append(torch.from_numpy(pixels.transpose(2, 0, 1).copy()))
        assert len({captioner(source) for source in sources}) == 1


def test_many_photos_give_captions_in_their_order_and_errors_in_their_places(captioner, photos, monkeypatch):
    encode, encoded = captioner.backend.encode, []
    monkeypatch.setattr(captioner.backend, "encode", lambda pixels: encoded.append(len(pixels)) or encode(pixels))
    options = SearchOptions(beam_size=1)
    coffee, cat = photos / "coffee.jpg", photos / "chelsea.jpg"
    asked = [coffee, "missing.jpg", cat.read_bytes(), b"no photo", *[coffee] * BATCH_SIZE, Image.open(cat)]
    found = list(captioner.many(iter(asked), options))
    # One call a batch, of those that can be read.
    assert encoded == [BATCH_SIZE - 2, 5]
    said = {path: captioner(path, options).text for path in (coffee, cat)}
    texts = [each.text if isinstance(each, Caption) else None for each in found]
    assert texts == [said[coffee], None, said[cat], None, *[said[coffee]] * BATCH_SIZE, said[cat]]
    assert isinstance(found[3], ImageError)
    assert "missing.jpg" in str(found[1])
    assert list(captioner.many([], options)) == []
    assert len(list(captioner.many([b""], options))) == 1
    captions = captioner.many([coffee, None], options)
    assert next(captions).text == said[coffee]
    with pytest.raises(TypeError):
        next(captions)
    assert captioner.describe(captioner.encode([]), options) == []


def test_many_photos_are_read_no_earlier_than_they_are_needed(captioner, photos):
    read = []

    def endless():
        while True:
            read.append(photos / "coffee.jpg")
            yield read[-1]

    captions = captioner.many(endless(), SearchOptions(beam_size=1, max_steps=1))
    assert not read
    assert next(captions).text == next(captions).text
    assert len(read) == BATCH_SIZE


def test_captions_can_be_compared_hashed_and_pickled(captioner, photos):
    options = SearchOptions(beam_size=2, keep_tree=True)
    one, same, other = (captioner(photos / name, options) for name in ("coffee.jpg", "coffee.jpg", "rocket.jpg"))
    again = pickle.loads(pickle.dumps(one))
    assert one == same == again == copy.deepcopy(one)
    assert one != other
    assert {one, same, again, other} == {one, other}
    assert again.as_dict() == one.as_dict()


def test_a_captioner_says_that_it_cannot_be_copied(captioner):
    for make in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match=r"A Captioner cannot be copied or pickled: .*\.$"):
            make(captioner)


@pytest.mark.parametrize(
    ("name", "value", "range_"),
    [
        *(("beam_size", value, "least 1 and at most 1,000") for value in (0, -1, 1.5, "3", True, None, 1001)),
        *(("max_steps", value, "least 1 and at most 1,000") for value in (0, 2.0, 10**9)),
        *(("length_penalty", value, "least -10 and at most 10") for value in (math.nan, math.inf, 1000, "0")),
        ("alternatives", -1, "least 0"),
        ("keep_tree", 1, "true or false"),
    ],
)
def test_search_options_out_of_their_range_are_refused_with_it(name, value, range_):
    with pytest.raises(ValueError, match=f"{name} must be .*{range_}"):
        SearchOptions(**{name: value})


def test_a_search_without_alternatives_says_the_same(captioner, photos):
    plain, without = (captioner(photos / "coffee.jpg", SearchOptions(alternatives=count)) for count in (5, 0))
    assert without.text == plain.text
    assert not any(step.alternatives for step in without.steps)


def test_a_batch_gives_what_its_members_give_alone(captioner, photos):
    images = [open_image(photos / name) for name in ("astronaut.jpg", "chelsea.jpg", "coffee.jpg", "rocket.jpg")]
    options = SearchOptions(beam_size=3)
    together = captioner.describe(captioner.encode(images), options)
    for image, caption in zip(images, together, strict=True):
        alone = captioner(image, options)
        assert [found.text for found in caption.hypotheses] == [found.text for found in alone.hypotheses]
        assert caption.log_probability == pytest.approx(alone.log_probability, abs=1e-3)


@pytest.mark.parametrize("beam_size", [1, 3, 10])
def test_there_are_as_many_hypotheses_as_the_beam_is_wide(captioner, photos, beam_size):
    caption = captioner(photos / "rocket.jpg", SearchOptions(beam_size=beam_size))
    assert len(caption.hypotheses) == beam_size
    scores = [found.score for found in caption.hypotheses]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("beam_size", [1, 5])
def test_the_real_model_searched_plainly_says_the_same(captioner, photos, beam_size):
    captioner = Captioner.from_checkpoint(captioner.info.path, "cpu", "float32")
    pixels = captioner.pixels(open_image(photos / "astronaut.jpg"))
    model, info = load_model(captioner.info.path)
    with torch.inference_mode():
        features = model.encoder(torch.from_numpy(pixels[None]))[0]
    options = SearchOptions(beam_size=beam_size)
    found = captioner.describe(captioner.encode([pixels]), options)[0].hypotheses
    once = [token for token, said_once in enumerate(info.vocabulary.once) if said_once]
    expected = plain_beam_search(model.decoder, features, options, once=once)
    assert [hypothesis.text for hypothesis in found] == [
        " ".join(info.vocabulary.decode(tokens)) for tokens, _ in expected
    ]
    for hypothesis, (_, log_probability) in zip(found, expected, strict=True):
        assert hypothesis.log_probability == pytest.approx(log_probability, abs=1e-3)


def test_loading_a_checkpoint_twice_gives_the_same_captions(captioner, photos):
    again = Captioner.from_checkpoint(captioner.info.path)
    assert again(photos / "astronaut.jpg").as_dict()["words"] == captioner(photos / "astronaut.jpg").as_dict()["words"]


def test_a_caption_can_be_made_to_begin_with_the_runner_up(captioner, photos):
    encoded = captioner.encode([open_image(photos / "astronaut.jpg")])
    options = SearchOptions(beam_size=3)
    said = [step.word for step in captioner.describe(encoded, options)[0].steps]
    for index, step in enumerate(captioner.describe(encoded, options)[0].steps):
        word, probability = next(each for each in step.alternatives if each[0] != step.word)
        if index == 0 and word == "<end>":
            continue
        prefix = [*said[:index], word]
        [caption] = captioner.describe(encoded, options, [prefix])
        assert [step.word for step in caption.steps][: len(prefix)] == prefix
        assert caption.steps[index].probability == pytest.approx(probability, rel=1e-4)
        product = math.prod(step.probability for step in caption.steps)
        assert product == pytest.approx(math.exp(caption.log_probability), rel=1e-4)


@pytest.mark.parametrize(
    "prefix", [["zyzzyva"], ["<unk>"], ["<end>"], ["a", "<pad>"], ["a", "a"], ["a", "dog"] * 16, ["a", "<end>", "a"]]
)
def test_words_that_a_caption_cannot_begin_with_are_reported_in_one_sentence(captioner, photos, prefix):
    encoded = captioner.encode([open_image(photos / "rocket.jpg")])
    with refused(PrefixError):
        captioner.describe(encoded, SearchOptions(beam_size=1), [prefix])


@pytest.mark.slow
def test_captioners_of_one_thread_and_of_all_cores_live_in_one_process(photos):
    """In a process of its own: what was opened first decides what ONNX Runtime allows after it."""
    script = (
        "import sys; from captioning import Captioner\n"
        "for single in (True, False, True, False):\n"
        "    print(Captioner.from_checkpoint(sys.argv[1], 'cpu', single_thread=single)(sys.argv[2]).as_dict()['words'])"
    )
    command = [sys.executable, "-c", script, DEFAULT_CHECKPOINT, photos / "coffee.jpg"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stderr == ""
    assert len(set(run.stdout.splitlines())) == 1


@pytest.mark.slow
def test_sureness_places_a_caption_among_those_of_dev(captioner, flickr8k):
    photos = [example.photo for example in read_dataset(flickr8k).splits["dev"][:400]]
    for width in (3, 4):
        found = [caption.sureness for caption in captioner.many(photos, SearchOptions(beam_size=width))]
        # Two fifths of dev, of which every percentile has as many.
        assert np.histogram(found, range(0, 101, 25))[0] / len(photos) == pytest.approx([0.25] * 4, abs=0.08)


def test_no_sureness_of_what_it_was_made_to_say_or_was_never_scored(captioner, photos, tmp_path):
    encoded = captioner.encode([open_image(photos / "coffee.jpg")] * 2)
    forced, free = captioner.describe(encoded, prefixes=[["two"], []])
    assert (forced.sureness, free.sureness) == (None, captioner(photos / "coffee.jpg").sureness)
    unscored = forge(DEFAULT_CHECKPOINT, tmp_path / "unscored.safetensors", metadata={"training": "{}"})
    assert Captioner.from_checkpoint(unscored)(photos / "coffee.jpg").sureness is None
