"""Graphs in int8: what `captioning optimize` writes, and what integers may change."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from captioning import DEFAULT_CHECKPOINT, Captioner, SearchOptions, open_image
from captioning import __main__ as command_line
from captioning.checkpoint import read_info, read_tensors
from captioning.data.datasets import read_dataset
from captioning.inference.beam_search import beam_search
from captioning.model.model import save_model
from captioning.record import TrainingRecord
from captioning.training.scores import score_stages
from captioning.training.settings import RunSettings
from captioning.vocabulary import SPECIAL_TOKENS, Vocabulary, tokenize
from tests.browser import ROOT
from tests.helpers import TINY, make_kaggle, tiny_model

pytestmark = pytest.mark.usefixtures("without_java")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return make_kaggle(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory, data) -> Path:
    """A small checkpoint without graphs, of an encoder with few layers, with the words of a small data set."""
    words = {
        word for example in read_dataset(data).split("train") for text in example.captions for word in tokenize(text)
    }
    vocabulary = Vocabulary([*SPECIAL_TOKENS, *sorted(words)])
    path = tmp_path_factory.mktemp("checkpoints") / "tiny.safetensors"
    save_model(
        path,
        tiny_model(len(vocabulary), config=replace(TINY, encoder="resnet10t")),
        vocabulary,
        TrainingRecord(command="kept"),
    )
    return path


@pytest.mark.slow
def test_a_checkpoint_gets_graphs_in_both_precisions_and_the_scores_of_the_better(plain, data, tmp_path):
    path = shutil.copy(plain, tmp_path / "tiny.safetensors")
    command = [sys.executable, "-m", "captioning", "optimize", str(path), "--data", str(data)]
    out = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    before, after = read_info(plain), read_info(path)
    # Words of noise are no captions, so that integers cost nothing.
    assert after.graph_precisions == ["int8", "float32"]
    assert "Dev, int8 (float32): BLEU-4" in out
    assert "has graphs in int8 and float32" in out
    for name, tensor in read_tensors(before, list(before.tensors)).items():
        np.testing.assert_array_equal(tensor, read_tensors(after, [name])[name])
    assert after.training.command == "kept"
    [described] = after.training.datasets
    assert [score.beam_size for score in described.scores["dev"]] == [1, 3, 5]
    assert "test" not in described.scores
    photo = read_dataset(data).split("dev")[0].photo
    for precision in after.graph_precisions:
        assert Captioner.from_checkpoint(path, "cpu", precision)(photo).steps


@pytest.mark.slow
def test_without_data_the_graphs_are_in_float32_and_that_is_said(plain, tmp_path, run_main):
    path = shutil.copy(plain, tmp_path / "tiny.safetensors")
    code, out, _ = run_main(command_line.main, "optimize", path)
    assert code == 0
    assert read_info(path).graph_precisions == ["float32"]
    assert "name the data sets that it learned from with --data" in out


def save_encoder(path: Path, encoder: str) -> None:
    """A small checkpoint without graphs, of another encoder."""
    words = Vocabulary([*SPECIAL_TOKENS, *"abcdefgh"])
    model = tiny_model(len(words), config=replace(TINY, encoder=encoder, image_size=224))
    save_model(path, model, words, TrainingRecord())


@pytest.mark.slow
def test_a_checkpoint_whose_encoder_cannot_be_exported_is_left_as_it_was(tmp_path, run_main):
    path = tmp_path / "tiny.safetensors"
    save_encoder(path, "nest_tiny")
    before = path.read_bytes()
    code, _, error = run_main(command_line.main, "optimize", path)
    assert (code, error) == (2, "The encoder nest_tiny cannot be exported as an ONNX graph.\n")
    assert path.read_bytes() == before


@pytest.mark.slow
def test_a_training_whose_encoder_has_a_graph_that_is_refused_is_written_without_graphs(data, tmp_path, capsys):
    path, run = tmp_path / "tiny.safetensors", RunSettings((data,), tmp_path / "out.safetensors", tmp_path)
    save_encoder(path, "shvit_s1")
    score_stages([path], [read_dataset(data)], replace(run, quantize=False))
    assert "The encoder shvit_s1 does not run on ONNX Runtime here: it uses the operator" in capsys.readouterr().out
    info = read_info(run.output)
    assert info.graph_precisions == []
    assert info.training.datasets[0].scores["dev"]


def test_integers_change_what_float32_says_of_real_photos_by_little(photos):
    float32, int8 = (Captioner.from_checkpoint(DEFAULT_CHECKPOINT, "cpu", each) for each in ("float32", "int8"))
    images = [open_image(photo) for photo in sorted(photos.glob("*.jpg"))]
    exact, rounded = (each.encode(images).photos for each in (float32, int8))
    captions = [found[0] for found in beam_search(float32.backend, exact, SearchOptions())]
    said = beam_search(int8.backend, rounded, SearchOptions(beam_size=1), [caption.tokens for caption in captions])
    changes = [
        abs(again.log_probability - caption.log_probability) for [again], caption in zip(said, captions, strict=True)
    ]
    # In nats; captions have some -8.
    assert np.median(changes) < 0.3
    assert max(changes) < 1.5
