"""The page works on, whatever happens to the checkpoints in its folder, and shows their texts as texts."""

import json
import re
import shutil
import threading

import pytest
import torch

from captioning import DEFAULT_CHECKPOINT
from captioning.checkpoint import read_info
from captioning.page.gallery import sample_credit, sample_photos
from captioning.record import StageRecord, format_record
from captioning.vocabulary import SPECIAL_TOKENS
from tests.helpers import checkpoint_parts, forge
from tests.page import captions_of, errors, text_of

pytestmark = pytest.mark.hostile


def test_a_checkpoint_that_is_deleted_gives_way_to_another(start, checkpoint_folder, captioner):
    other = checkpoint_folder / "other.safetensors"
    shutil.copy(captioner.info.path, other)
    app = start(checkpoint="other", view="compare")
    assert errors(app) == []
    other.unlink()
    app.run()
    assert errors(app) == []
    assert app.selectbox(key="checkpoint").options == ["good"]
    assert app.session_state["checkpoint"] == "good"
    (checkpoint_folder / "good.safetensors").unlink()
    [message] = errors(app.run())
    assert message.startswith("There is no checkpoint")


def test_a_checkpoint_that_comes_and_goes_is_shown_or_missed(start, checkpoint_folder, captioner):
    """However a run of the page falls between the moments when the file is there and when it is not."""
    other, stop = checkpoint_folder / "other.safetensors", threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            shutil.copy(captioner.info.path, checkpoint_folder / ".copy")
            (checkpoint_folder / ".copy").rename(other)
            stop.wait(0.02)
            other.unlink()

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        for _ in range(8):
            for message in errors(start(checkpoint="other", view="model")):
                assert "other.safetensors" in message
    finally:
        stop.set()
        thread.join()
    assert captions_of(start(checkpoint="other"))


def test_a_checkpoint_that_is_replaced_is_loaded_again_or_reported(start, checkpoint_folder, captioner):
    path, spare = checkpoint_folder / "good.safetensors", checkpoint_folder / "spare.safetensors"
    shutil.copy(path, spare)
    app = start()
    before = captions_of(app)
    for bad in (b"", b"no checkpoint", spare.read_bytes()[:-1]):
        path.write_bytes(bad)
        [message] = errors(app.run())
        assert message.startswith("good.safetensors is not a usable checkpoint")
        assert app.selectbox(key="checkpoint").options == ["good", "spare"]
    words = captioner.info.vocabulary.words
    forge(captioner.info.path, path, {"decoder.output.bias": 1000.0 * torch.tensor([word == "dog" for word in words])})
    assert errors(app.run()) == []
    [after] = captions_of(app)
    assert "dog" in after.split()[:2]
    assert before != [after]
    shutil.copy(spare, path)
    assert errors(app.run()) == []
    assert captions_of(app) == before


@pytest.mark.parametrize("view", ["step", "search", "compare"])
def test_weights_that_overflow_are_reported_in_one_sentence(start, checkpoint_folder, view):
    path = DEFAULT_CHECKPOINT
    scales = {
        name: torch.full_like(tensor, 3e38)
        for name, tensor in checkpoint_parts(path)[0].items()
        if name.startswith("graph.int8.weights.step.") and tensor.dtype == torch.float32
    }
    forge(path, checkpoint_folder / "bad.safetensors", scales)
    app = start(checkpoint="bad", view=view)
    [message] = errors(app)
    assert message.startswith("bad.safetensors computes numbers that are not finite")
    app.selectbox(key="checkpoint").set_value("good").run()
    if view == "compare":
        assert errors(app) == [message]
    else:
        assert errors(app) == []


def test_a_bad_checkpoint_beside_a_good_one_is_reported(start, checkpoint_folder):
    (checkpoint_folder / "bad.safetensors").write_bytes(b"no checkpoint")
    app = start(checkpoint="good", view="compare")
    [message] = errors(app)
    assert message.startswith("bad.safetensors")
    app.session_state["view"] = "step"
    assert errors(app.run()) == []


def test_the_picker_lists_only_files_of_the_folder_whatever_their_names(start, checkpoint_folder, tmp_path):
    shutil.copy(checkpoint_folder / "good.safetensors", tmp_path / "outside.safetensors")
    (checkpoint_folder / "link.safetensors").symlink_to(tmp_path / "outside.safetensors")
    (checkpoint_folder / "line\nbreak.safetensors").touch()
    name = "![x](http:x) <b>$1$ **b**"
    (checkpoint_folder / f"{name}.safetensors").touch()
    app = start(checkpoint="good")
    assert app.selectbox(key="checkpoint").options == [name, "good"]
    assert errors(app) == []
    [message] = errors(app.selectbox(key="checkpoint").set_value(name).run())
    assert message.startswith(name)


@pytest.mark.parametrize("view", ["step", "search", "compare", "model"])
def test_words_and_names_of_a_checkpoint_are_never_markup(start, checkpoint_folder, captioner, view):
    words = [f"![{word}](http://x)<b>" for word in captioner.info.vocabulary.words[len(SPECIAL_TOKENS) :]]
    epochs = [{"train_loss": number, "bleu4": 2**53} for number in (float("nan"), float("-inf"), 1e308)]
    record = read_info(captioner.info.path).training
    command, versions = "**x**\n\ud800\u202e<img>", {"torch": "[a](http://x)"}
    record.stages = [StageRecord(stage=-1, epochs=epochs, command=command, versions=versions), StageRecord(stage=2)]
    for dataset in record.datasets:
        dataset.name = "Flickr<script>\n# x"
    texts = {"vocabulary": json.dumps([*SPECIAL_TOKENS, *words]), "training": format_record(record)}
    forge(captioner.info.path, checkpoint_folder / "good.safetensors", metadata=texts)
    app = start(view=view)
    assert errors(app) == []
    cells = [str(cell) for table in app.table for cell in table.value.to_numpy().flat]
    written = [element.value for element in (*app.markdown, *app.caption)]
    if view == "model":
        assert "Flickr<script>" in text_of(app)
    if view == "search":
        assert any("http" in cell for cell in cells)
    credits = tuple(f"]({sample_credit(path).licence_url})" for path in sample_photos().values())
    for text in [*cells, *written]:
        if text.startswith("[Photo") and text.endswith(credits):
            text = text.removesuffix(next(link for link in credits if text.endswith(link)))
        assert not re.search(r"(?<!\\)(<|\]\()|\u202e|[\ud800-\udfff]", text)
