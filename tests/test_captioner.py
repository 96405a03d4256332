"""Photo in, caption out, with the real checkpoint and real photos."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from captioning import DEFAULT_CHECKPOINT, Captioner, PrefixError, SearchOptions, open_image
from captioning.model.model import load_model
from tests.browser import ROOT
from tests.helpers import refused
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
    with path.open("rb") as file:
        sources = [path, str(path), path.read_bytes(), file, open_image(path)]
        assert len({captioner(source).text for source in sources}) == 1


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
    expected = plain_beam_search(model.decoder, features, options)
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
def test_words_that_a_caption_cannot_begin_with_are_told_in_one_sentence(captioner, photos, prefix):
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
