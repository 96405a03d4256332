"""Scoring a split, with the real checkpoint on a part of the real one."""

from pathlib import Path

from captioning import SearchOptions
from captioning.data.datasets import Example, read_dataset
from captioning.evaluation.evaluate import coco_results, evaluate
from captioning.evaluation.metrics import bleu
from captioning.vocabulary import tokenize


def test_a_split_is_captioned_as_its_photos_are_alone(captioner, flickr8k, monkeypatch):
    # METEOR needs Java, which starts slowly; test_metrics.py looks at it.
    monkeypatch.setenv("PATH", "")
    examples = read_dataset(flickr8k).split("dev")[:40]
    greedy, beam = evaluate(captioner, examples, [1, 3], SearchOptions())
    for score in (greedy, beam):
        options = SearchOptions(beam_size=score.beam_size)
        assert score.captions[::13] == [captioner(example.photo, options).text for example in examples[::13]]
        references = [[tokenize(caption) for caption in example.captions] for example in examples]
        assert score.bleu == bleu([caption.split() for caption in score.captions], references)
        # The floor of a model that has learned: one that has not scores below 10.
        assert score.bleu[0] > 40
        row = score.as_dict()
        assert row["bleu"] == [round(value, 2) for value in score.bleu]
        assert 0 < row["cider"] < 1000
        assert 0 < row["rouge_l"] < 100
        # Maps that are the same at every word would give 0.
        assert 0.05 < row["movement"] < 1
    assert greedy.captions != beam.captions


def test_coco_results_carry_coco_numbers_and_other_names():
    names = ["COCO_val2014_000000391895.jpg", "000000000139.jpg", "1000268201_693b08cb0e.jpg"]
    examples = [Example(Path("photos", name), ("a dog",)) for name in names]
    results = coco_results(examples, ["a", "b", "c"])
    assert [row["image_id"] for row in results] == [391895, 139, "1000268201_693b08cb0e.jpg"]
    assert [row["caption"] for row in results] == ["a", "b", "c"]
