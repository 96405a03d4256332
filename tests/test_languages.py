"""Captions in other languages than English: German, Arabic, and Chinese, which has no blanks."""

import json
from dataclasses import replace

import pytest

from captioning import Captioner
from captioning.checkpoint import read_info
from captioning.data.datasets import read_dataset
from captioning.evaluation.evaluate import evaluate
from captioning.inference.options import SearchOptions
from captioning.training.run import TrainingRun
from captioning.training.settings import RunSettings, StageSettings
from captioning.vocabulary import TOKENIZER, tokenize
from tests.helpers import TINY, make_photos

pytestmark = [pytest.mark.usefixtures("one_thread", "without_java"), pytest.mark.slow]
CAPTIONS = ("Ein Hund läuft über die Straße.", "كلب يجري في الشارع.", "一只狗在街上跑。")
WORDS = {*"ein hund läuft über die straße".split(), *"كلب يجري في الشارع".split(), *"一只狗在街上跑"}


def test_a_model_learns_captions_in_three_languages(tmp_path, monkeypatch):
    # Without Java on the path METEOR is left out, which takes longer than all the rest.
    monkeypatch.setenv("PATH", "/nowhere")
    photos = make_photos(tmp_path, [f"{number}.jpg" for number in range(9)])
    rows = [{"image": path.name, "caption": CAPTIONS[at % 3]} for at, path in enumerate(photos)]
    (tmp_path / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    places = {"output": tmp_path / "model.safetensors", "folder": tmp_path / "run", "cache": tmp_path / "cache"}
    run = RunSettings(data=(tmp_path,), **places, min_frequency=1, quantize=False)
    stage = StageSettings(epochs=50, batch_size=3, learning_rate=0.01)
    dataset = read_dataset(tmp_path)
    everything = [example for split in dataset.splits.values() for example in split]
    dataset = replace(dataset, splits=dict.fromkeys(dataset.splits, everything))
    config = replace(TINY, neck_size=None, embedding_size=32, attention_size=32, decoder_size=64, dropout=0.0)
    TrainingRun([dataset], config, {1: stage}, run).train()

    info = read_info(run.output)
    assert set(info.vocabulary.words[4:]) == WORDS
    assert info.vocabulary.tokenizer == TOKENIZER
    captioner = Captioner.from_checkpoint(run.output)
    [score] = evaluate(captioner, everything, [1], SearchOptions())
    assert set(" ".join(score.captions).split()) <= WORDS
    for text in CAPTIONS:
        said = [
            caption for example, caption in zip(everything, score.captions, strict=True) if text in example.captions
        ]
        assert " ".join(tokenize(text)) in said
    assert score.bleu[0] > 50, score.captions
