"""ONNX Runtime and PyTorch compute the same captions of the same checkpoint, whatever is computed beside them."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from captioning import DEFAULT_CHECKPOINT, Captioner, SearchOptions, open_image
from captioning.data.datasets import read_dataset
from captioning.errors import CaptioningError
from captioning.inference.backend import EncodedPhoto, Predictions
from captioning.inference.caption import Caption
from captioning.inference.captioner import EncodedPhotos
from captioning.inference.runtime import ONNX_RUNTIME, PYTORCH, core_count
from captioning.model.decoder import Memory, State
from captioning.model.model import load_model, save_model
from captioning.page.gallery import sample_photos
from captioning.record import TrainingRecord
from captioning.training.scores import optimize_checkpoint
from captioning.vocabulary import END, NEVER_GENERATED, SPECIAL_TOKENS, START, Vocabulary
from tests.browser import ROOT
from tests.helpers import TIE, assert_same, captioner_of, checkpoint_parts, forge, refused, tiny_model

LIBRARIES = (ONNX_RUNTIME, PYTORCH)
INT8 = "ONNX Runtime in int8"
DEV_PHOTOS = 100


@pytest.fixture(scope="module")
def captioners() -> dict[str, Captioner]:
    """The default checkpoint in float32 by library, and in int8."""
    float32 = {library: captioner_of(DEFAULT_CHECKPOINT, library) for library in LIBRARIES}
    return float32 | {INT8: Captioner.from_checkpoint(DEFAULT_CHECKPOINT, "cpu", "int8")}


@pytest.fixture(scope="module")
def pixels(captioners) -> list[np.ndarray]:
    """The sample photos as the encoder reads them."""
    return [captioners[ONNX_RUNTIME].pixels(open_image(path)) for path in sample_photos().values()]


@pytest.fixture(scope="module")
def encoded(captioners, pixels) -> dict[str, EncodedPhotos]:
    return {library: captioner.encode(pixels) for library, captioner in captioners.items()}


@pytest.fixture(scope="module")
def alone(captioners, pixels) -> dict[str, list[Caption]]:
    """The captions of photos that were captioned one by one."""
    return {
        library: [captioner.describe(captioner.encode([photo]))[0] for photo in pixels]
        for library, captioner in captioners.items()
    }


@pytest.mark.slow
def test_both_say_the_same_of_real_photos(captioners, flickr8k):
    photos = [open_image(example.photo) for example in read_dataset(flickr8k).split("dev")[:DEV_PHOTOS]]
    found = [captioners[library].describe(captioners[library].encode(photos)) for library in LIBRARIES]
    for one, other in zip(*found, strict=True):
        assert_same(one, other)
    assert sum(one.text == other.text for one, other in zip(*found, strict=True)) >= DEV_PHOTOS - 1


@pytest.mark.parametrize("library", [*LIBRARIES, INT8])
@pytest.mark.parametrize("size", [3, 32])
def test_a_batch_gives_what_its_members_give_alone(captioners, pixels, alone, library, size):
    captioner, chosen = captioners[library], [index % len(pixels) for index in range(size)]
    together = captioner.describe(captioner.encode([pixels[index] for index in chosen]))
    for index, caption in zip(chosen, together, strict=True):
        assert_same(caption, alone[library][index])


@pytest.mark.parametrize("beam_size", [1, 100])
def test_both_find_the_same_at_every_width(captioners, encoded, beam_size):
    options = SearchOptions(beam_size=beam_size)
    photos = {library: EncodedPhotos(encoded[library].photos[:4], 0.0) for library in LIBRARIES}
    found = [captioners[library].describe(photos[library], options) for library in LIBRARIES]
    for one, other in zip(*found, strict=True):
        assert len(one.hypotheses) == beam_size
        assert_same(one, other)


def test_both_begin_with_the_same_words(captioners, encoded):
    """Also with another word at any place (What-if), and with a caption that ends there."""
    options = SearchOptions(beam_size=3)
    [caption, *_] = captioners[ONNX_RUNTIME].describe(encoded[ONNX_RUNTIME], options)
    words = [step.word for step in caption.steps]
    prefixes = [words[:length] for length in range(len(words) + 1)]
    prefixes += [[*words[: index + 1], "<end>"] for index in range(len(words) - 1)]
    for index, step in enumerate(caption.steps):
        prefixes += [[*words[:index], word] for word, _ in step.alternatives if index or word != "<end>"]
    found = []
    for library in LIBRARIES:
        repeated = EncodedPhotos(encoded[library].photos[:1] * len(prefixes), 0.0)
        found.append(captioners[library].describe(repeated, options, prefixes))
    for prefix, one, other in zip(prefixes, *found, strict=True):
        assert [step.word for step in one.steps[: len(prefix)]] == prefix
        assert_same(one, other)


def test_both_keep_the_same_tree(captioners, encoded):
    options = SearchOptions(beam_size=4, keep_tree=True)
    trees = [[each.tree for each in captioners[library].describe(encoded[library], options)] for library in LIBRARIES]
    for one, other in zip(*trees, strict=True):
        for first, second in zip(one.steps, other.steps, strict=True):
            for candidate, twin in zip(first, second, strict=True):
                assert (candidate.word, candidate.parent) == (twin.word, twin.parent)
                assert (candidate.fate, candidate.final) == (twin.fate, twin.final)
                assert candidate.log_probability == pytest.approx(twin.log_probability, abs=1e-3)
                assert candidate.probability == pytest.approx(twin.probability, abs=1e-4)


@pytest.mark.parametrize("library", LIBRARIES)
def test_words_that_are_equally_likely_are_found_in_any_batch(captioners, pixels, tmp_path, library):
    """Every likely word has a twin with the same weights, so that each step has ties."""
    names = [f"decoder.{name}" for name in ("output.weight", "output.bias", "embedding.weight")]
    tied = {name: tensor for name, tensor in checkpoint_parts(DEFAULT_CHECKPOINT)[0].items() if name in names}
    likely = tied["decoder.output.bias"].argsort(descending=True)
    likely = likely[~torch.isin(likely, torch.tensor([*NEVER_GENERATED, END]))]
    for tensor in tied.values():
        tensor[likely[1::2]] = tensor[likely[0::2][: len(likely[1::2])]]
    captioner = captioner_of(forge(DEFAULT_CHECKPOINT, tmp_path / "tied.safetensors", tied), library)
    together = captioner.describe(captioner.encode(pixels[:5]))
    for photo, caption in zip(pixels, together, strict=False):
        [alone] = captioner.describe(captioner.encode([photo]))
        assert [found.score for found in caption.hypotheses] == pytest.approx(
            [found.score for found in alone.hypotheses], abs=TIE
        )
        first, second = caption.hypotheses[:2]
        assert first.score == pytest.approx(second.score, abs=TIE)


# One step


@dataclass(frozen=True)
class Rows:
    """A step of some photos: for each photo its rows."""

    parents: list[np.ndarray]
    tokens: list[np.ndarray]
    wanted: list[np.ndarray]

    @classmethod
    def draw(cls, counts: Sequence[int], parents: int, vocabulary_size: int, wanted: int = 3) -> "Rows":
        draw = np.random.default_rng(len(counts) + sum(counts))
        words = range(len(NEVER_GENERATED) + 1, vocabulary_size)
        return cls(
            [draw.integers(parents, size=count) for count in counts],
            [draw.choice(words, size=count) for count in counts],
            [draw.choice(words, size=(count, wanted)) for count in counts],
        )

    def of(self, photo: int, row: int) -> "Rows":
        """One row alone."""
        return Rows(*([each[photo][row : row + 1]] for each in (self.parents, self.tokens, self.wanted)))


def take_step(captioner: Captioner, photos: list[EncodedPhoto], states: list, rows: Rows, count: int) -> Predictions:
    return captioner.backend.step(photos, states, rows.parents, rows.tokens, rows.wanted, count=count)


def first_step(captioner: Captioner, photos: list[EncodedPhoto], words: Sequence[int]) -> list:
    """States after `<start>` and each of these words."""
    size = len(photos)
    no_words, zeros = [np.empty((1, 0), dtype=int)] * size, [np.zeros(1, dtype=int)] * size
    starts = Rows(zeros, [np.array([START])] * size, no_words)
    states = take_step(captioner, photos, [photo.state for photo in photos], starts, 1).states
    parents = [np.zeros(len(words), dtype=int)] * size
    rows = Rows(parents, [np.array(words)] * size, [np.empty((len(words), 0), dtype=int)] * size)
    return take_step(captioner, photos, states, rows, 1).states


@pytest.mark.parametrize(
    "counts", [[rows] for rows in range(1, 11)] + [[10, 1, 4], [10, 9, 4, 7], [2, 2, 2, 2, 2]], ids=str
)
def test_a_steps_numbers_are_those_of_the_other(captioners, encoded, counts):
    size = len(captioners[ONNX_RUNTIME].info.vocabulary)
    rows = Rows.draw(counts, 4, size)
    found = []
    for library in LIBRARIES:
        captioner, photos = captioners[library], encoded[library].photos[: len(counts)]
        found.append(take_step(captioner, photos, first_step(captioner, photos, [5, 60, 700, 8]), rows, 7))
    one, other = found
    for each in found:
        assert each.attention.shape == (sum(counts), np.prod(captioners[ONNX_RUNTIME].backend.grid))
        assert each.log_probabilities.shape == each.tokens.shape == (sum(counts), 7)
        assert (np.diff(each.log_probabilities) <= 0).all()
        np.testing.assert_allclose(each.attention.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(one.attention, other.attention, atol=1e-5)
    np.testing.assert_allclose(one.log_probabilities, other.log_probabilities, atol=1e-4)
    np.testing.assert_allclose(one.wanted, other.wanted, atol=1e-4)


@pytest.mark.parametrize("library", [*LIBRARIES, INT8])
def test_a_row_alone_has_the_numbers_that_it_has_among_others(captioners, encoded, library):
    captioner, photos = captioners[library], encoded[library].photos[:3]
    counts = [10, 3, 7]
    rows = Rows.draw(counts, 4, len(captioner.info.vocabulary))
    states = first_step(captioner, photos, [5, 60, 700, 8])
    together = take_step(captioner, photos, states, rows, 5)
    place = 0
    for photo, count in enumerate(counts):
        for row in range(count):
            alone = take_step(captioner, [photos[photo]], [states[photo]], rows.of(photo, row), 5)
            for name in ("attention", "log_probabilities", "wanted"):
                np.testing.assert_allclose(
                    getattr(together, name)[place], getattr(alone, name)[0], rtol=1e-5, atol=1e-6
                )
            place += 1


@pytest.mark.parametrize("library", LIBRARIES)
def test_wanted_and_likeliest_are_of_the_decoders_softmax_over_what_may_be_said(captioners, encoded, pixels, library):
    """Computed here from the decoder's logits, one token after the other."""
    captioner, [photo] = captioners[library], encoded[library].photos[:1]
    model, info = load_model(DEFAULT_CHECKPOINT)
    size = len(info.vocabulary)
    everything = np.arange(size)[None]
    with torch.inference_mode():
        memory, state = model.decoder.start(model.encoder(torch.from_numpy(pixels[0][None])), rows=1)
    states = [photo.state]
    for token in [START, 5, 60]:
        rows = Rows([np.zeros(1, dtype=int)], [np.array([token])], [everything])
        found = take_step(captioner, [photo], states, rows, size)
        states = found.states
        with torch.inference_mode():
            state = model.decoder.advance(model.decoder.attend(Memory(*memory), State(*state)), torch.tensor([[token]]))
            logits = model.decoder.predict(state.hidden)[0, 0]
            logits[[*NEVER_GENERATED, END if token == START else token]] = -torch.inf
            expected = logits.log_softmax(dim=0).numpy()
        np.testing.assert_allclose(found.wanted[0], expected, atol=1e-4)
        np.testing.assert_allclose(found.log_probabilities[0], expected[found.tokens[0]], atol=1e-4)
        assert sorted(found.tokens[0]) == list(range(size))
        assert np.exp(found.log_probabilities[0]).sum() == pytest.approx(1, abs=1e-4)


THREADS = """
import sys
from psutil import Process
from captioning import DEFAULT_CHECKPOINT, Captioner
caption = Captioner.from_checkpoint(DEFAULT_CHECKPOINT, "cpu")(sys.argv[1])
print(Process().num_threads(), caption.text, caption.log_probability)
"""


def test_no_more_threads_compute_than_the_environment_says_and_the_caption_is_the_same(photos, monkeypatch):
    # NumPy would have as many of its own.
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    said = {}
    for count in ("1", str(core_count()), "99999999999999999999", "0", "many"):
        monkeypatch.setenv("OMP_NUM_THREADS", count)
        command = [sys.executable, "-c", THREADS, photos / "pizza.jpg"]
        said[count] = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(" ", 1)
    threads, captions = zip(*said.values(), strict=True)
    assert [int(number) - int(threads[0]) for number in threads] == [0, *[core_count() - 1] * 4]
    assert len(set(captions)) == 1


# Which of them computes


@pytest.fixture(scope="module")
def without_graphs(tmp_path_factory) -> Path:
    """The default checkpoint as it was in the first format."""
    tensors, _ = checkpoint_parts(DEFAULT_CHECKPOINT)
    graphs = {name: None for name in tensors if name.startswith("graph.")}
    path = tmp_path_factory.mktemp("first format") / "first.safetensors"
    return forge(DEFAULT_CHECKPOINT, path, graphs, {"format": "captioning/1"})


def test_a_checkpoint_with_graphs_runs_in_onnx_runtime_and_one_without_in_pytorch(captioners, without_graphs, photos):
    with_graphs = Captioner.from_checkpoint(DEFAULT_CHECKPOINT, "cpu", "float32")
    first = Captioner.from_checkpoint(without_graphs, "cpu")
    assert (with_graphs.runtime.library, first.runtime.library) == LIBRARIES
    assert_same(with_graphs(photos / "astronaut.jpg"), first(photos / "astronaut.jpg"))


def test_autocast_of_the_encoder_changes_little(without_graphs, captioners, photos):
    exact = captioners[PYTORCH](photos / "astronaut.jpg")
    rounded = Captioner.from_checkpoint(without_graphs, "cpu", "bfloat16")
    [again] = rounded.describe(
        rounded.encode([open_image(photos / "astronaut.jpg")]), None, [[step.word for step in exact.steps]]
    )
    assert rounded.runtime.precision == "bfloat16"
    assert again.log_probability == pytest.approx(exact.log_probability, abs=1)
    assert again.log_probability != exact.log_probability


@pytest.mark.parametrize(
    ("device", "precision"),
    [
        ("gpu", None),
        ("", None),
        ("CPU", None),
        ("TensorrtExecutionProvider\u202e\n", None),
        ("cpu", "float16"),
        ("cpu", "float64"),
        ("CPUExecutionProvider", "bfloat16"),
    ],
)
def test_a_device_or_precision_that_there_is_not_is_refused(device, precision):
    with refused(CaptioningError):
        Captioner.from_checkpoint(DEFAULT_CHECKPOINT, device, precision)


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_gpu_that_is_not_there_is_refused(device):
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        pytest.skip("this machine has a GPU")
    with refused(CaptioningError, device):
        Captioner.from_checkpoint(DEFAULT_CHECKPOINT, device)


@pytest.mark.parametrize("precision", ["int8", "float64"])
def test_a_precision_of_graphs_is_refused_where_pytorch_computes(without_graphs, precision):
    with refused(CaptioningError, precision):
        Captioner.from_checkpoint(without_graphs, "cpu", precision)


def test_a_provider_of_onnx_runtime_can_be_named(captioners, photos):
    named = Captioner.from_checkpoint(DEFAULT_CHECKPOINT, "CPUExecutionProvider", "float32")
    assert named.runtime.device == "CPUExecutionProvider"
    assert_same(named(photos / "coffee.jpg"), captioners[ONNX_RUNTIME](photos / "coffee.jpg"))


def test_without_pytorch_a_checkpoint_with_graphs_captions_and_another_says_what_is_missing(without_graphs, photos):
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from captioning import Captioner, CheckpointError\n"
        "with_graphs, without, photo = sys.argv[1:]\n"
        "print(Captioner.from_checkpoint(with_graphs)(photo).text)\n"
        "for path, device in ((without, 'auto'), (without, 'cpu'), (with_graphs, 'cuda')):\n"
        "    try: Captioner.from_checkpoint(path, device)\n"
        "    except CheckpointError as error: print(error)\n"
    )
    command = [sys.executable, "-c", script, DEFAULT_CHECKPOINT, without_graphs, photos / "coffee.jpg"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    caption, *notes = run.stdout.splitlines()
    assert caption == Captioner.from_checkpoint(DEFAULT_CHECKPOINT, "cpu")(photos / "coffee.jpg").text
    assert len(notes) == 3
    for sentence, cause in zip(notes, ("no graphs", "no graphs", "cuda"), strict=True):
        assert cause in sentence
        assert sentence.endswith("which is not installed: pip install -r requirements-train.txt.")


def test_graphs_are_needed_in_one_sentence_where_a_provider_is_named(without_graphs):
    with refused(CaptioningError, "no graphs"):
        Captioner.from_checkpoint(without_graphs, "CPUExecutionProvider")


@pytest.mark.slow
@pytest.mark.parametrize("words", [1, 2, 5])
def test_a_beam_wider_than_the_vocabulary_finds_what_there_is(tmp_path, pixels, words):
    path = tmp_path / "tiny.safetensors"
    vocabulary = Vocabulary([*SPECIAL_TOKENS, *"abcde"[:words]])
    save_model(path, tiny_model(len(vocabulary)), vocabulary, TrainingRecord())
    optimize_checkpoint(path)
    photo = np.ascontiguousarray(pixels[0][:, :64, :64])
    found = [
        captioner.describe(captioner.encode([photo]), SearchOptions(beam_size=100, max_steps=3))[0]
        for captioner in (captioner_of(path, library) for library in LIBRARIES)
    ]
    # Captions of one to three words of which no two neighbours are the same, the longest cut off.
    count = words + words * (words - 1) + words * (words - 1) ** 2
    assert len(found[0].hypotheses) == len(found[1].hypotheses) == min(count, 100)
    assert_same(*found)
