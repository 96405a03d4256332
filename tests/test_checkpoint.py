"""A checkpoint comes back as it was saved, and whatever is not sound is refused with its cause."""

import json
import pickle
import resource
import zipfile
from contextlib import contextmanager
from dataclasses import asdict, replace

import pytest
import torch
from safetensors import safe_open

from captioning import CHECKPOINT_FOLDER
from captioning.checkpoint import FORMAT, list_checkpoints, read_info
from captioning.errors import CheckpointError
from captioning.model.model import load_model, save_model
from captioning.record import DataSetRecord, Score, TrainingRecord, format_record, parse_record
from captioning.vocabulary import FIRST_TOKENIZER, SPECIAL_TOKENS, Vocabulary
from tests.helpers import TINY, checkpoint_parts, forge, refused, tiny_model

VOCABULARY = Vocabulary([*SPECIAL_TOKENS, *"a dog runs on grüne wiese 42".split()], repeatable=["a", "grüne"])
SCORES = {"test": [Score(beam_size=3, bleu=[60.5, 40, 28, 20.25], cider=61)]}
TRAINING = TrainingRecord(datasets=[DataSetRecord(name="Flickr8k", train=3, scores=SCORES)])
CAPTIONS = torch.tensor([[[1, 4, 5, 6, 2]]])


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A sound checkpoint; not to be written to."""
    path = tmp_path_factory.mktemp("checkpoints") / "sound.safetensors"
    save_model(path, tiny_model(len(VOCABULARY)), VOCABULARY, TRAINING)
    return path


@pytest.fixture
def forged(saved, tmp_path):
    """The sound checkpoint with other metadata and tensors."""
    return lambda metadata=None, tensors=None: forge(saved, tmp_path / "forged.safetensors", tensors, metadata)


@contextmanager
def little_memory(spare: int = 512 * 2**20):
    """The block cannot allocate more than this."""
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + spare, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def outputs(model) -> torch.Tensor:
    pixels = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8, generator=torch.manual_seed(1))
    with torch.inference_mode():
        return torch.cat([tensor.flatten() for tensor in model.decoder(model.encoder(pixels), CAPTIONS)])


def test_everything_comes_back(saved):
    model, info = load_model(saved)
    original = tiny_model(len(VOCABULARY))
    assert (info.path, info.config, info.training) == (saved, TINY, TRAINING)
    assert info.vocabulary.words == VOCABULARY.words
    assert info.vocabulary.repeatable == VOCABULARY.repeatable
    assert read_info(str(saved)).config == TINY
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.encoder.parameters())
    expected = original.state_dict()
    assert model.state_dict().keys() == expected.keys()
    for name, tensor in model.state_dict().items():
        assert tensor.dtype == expected[name].dtype
        torch.testing.assert_close(tensor, expected[name], rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(outputs(model), outputs(original), rtol=1e-2, atol=1e-2)


def test_older_records_mean_the_same(forged):
    """One data set with its scores at the top, and what was run said once of all stages."""
    versions = {"torch": "2.6"}
    older = {
        "dataset": {"name": "Flickr8k", "train": 3},
        "scores": SCORES,
        "seed": 7,
        "command": "python train.py",
        "versions": versions,
        "stages": [{"stage": 1, "epochs": [{"epoch": 1, "train_loss": 6.5}]}, {"stage": 2, "seed": 0}],
    }
    record = read_info(forged({"format": "captioning/1", "training": json.dumps(older)})).training
    assert record.datasets == TRAINING.datasets
    assert [(stage.stage, stage.seed) for stage in record.stages] == [(1, 7), (2, 0)]
    assert all((stage.command, stage.versions) == ("python train.py", versions) for stage in record.stages)
    assert parse_record(format_record(record)) == record


def test_a_checkpoint_that_names_no_rule_for_words_has_the_first_and_keeps_it(forged, tmp_path):
    model, info = load_model(forged({"tokenizer": None}))
    assert info.vocabulary.tokenizer == FIRST_TOKENIZER
    save_model(tmp_path / "again.safetensors", model, info.vocabulary, info.training)
    assert read_info(tmp_path / "again.safetensors").vocabulary.tokenizer == FIRST_TOKENIZER


@pytest.mark.parametrize("path", sorted(CHECKPOINT_FOLDER.glob("*.safetensors")), ids=lambda path: path.stem)
def test_a_shipped_checkpoints_record_is_written_as_it_was_read(path):
    """But for what an older one says once of all stages, which each says now, and of its only mean."""
    text = checkpoint_parts(path)[1]["training"]
    before, after = json.loads(text), json.loads(format_record(parse_record(text)))
    run = {name: before.pop(name) for name in ("command", "seed", "versions") if name in before}
    if of := before.pop("mean_of", None):
        share = before.pop("mean_share", 0.5)
        before["means"] = [{"of": of, "shares": [1 - share, share]}]
    assert after == {**before, "stages": [{**run, **stage} for stage in before["stages"]]}


def test_saving_what_was_loaded_changes_nothing(saved, tmp_path):
    model, info = load_model(saved)
    again = tmp_path / "new folder" / "again.safetensors"
    save_model(again, model, info.vocabulary, info.training)
    second, second_info = load_model(again)
    assert torch.equal(outputs(model), outputs(second))
    assert replace(second_info, path=saved, fingerprint=info.fingerprint, vocabulary=info.vocabulary) == info
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name])


def test_the_file_is_as_described(saved):
    with safe_open(saved, framework="pt") as file:
        metadata, names = file.metadata(), set(file.keys())
        kinds = {file.get_tensor(name).dtype for name in names}
    assert metadata["format"] == FORMAT == "captioning/2"
    assert json.loads(metadata["config"]) == asdict(TINY)
    assert json.loads(metadata["vocabulary"]) == VOCABULARY.words
    assert {name.split(".")[0] for name in names} == {"encoder", "decoder"}
    assert {torch.float16, torch.float32} <= kinds


def test_what_is_no_checkpoint_is_refused_by_its_name(saved, tmp_path):
    weights = tiny_model(len(VOCABULARY)).decoder.state_dict()
    with refused(CheckpointError, "missing.safetensors", "There is no checkpoint"):
        load_model(tmp_path / "missing.safetensors")
    with refused(CheckpointError, str(tmp_path)):
        load_model(tmp_path)
    path = tmp_path / "other.safetensors"
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.write(saved, "sound.safetensors")
    torch.save(weights, tmp_path / "weights.pt")
    whole = saved.read_bytes()
    for data in [
        b"",
        b"A dog runs.\n" * 99,
        (tmp_path / "weights.pt").read_bytes(),
        pickle.dumps({"weights": [1.0]}),
        (tmp_path / "archive.zip").read_bytes(),
        bytes(1000),
        b"\xff" * 1000,
        whole + b"more",
        whole[:8] + b"\xff" + whole[9:],
    ]:
        path.write_bytes(data)
        for read in (load_model, read_info):
            with refused(CheckpointError, "other.safetensors", "not a whole safetensors file"):
                read(path)


@pytest.mark.parametrize("share", [0.0001, 0.001, 0.01, 0.1, 0.5, 0.9, 0.9999])
def test_a_checkpoint_cut_short_is_refused(saved, tmp_path, share):
    whole = saved.read_bytes()
    path = tmp_path / "short.safetensors"
    path.write_bytes(whole[: int(len(whole) * share)])
    with refused(CheckpointError, "short.safetensors", "not a whole safetensors file"):
        load_model(path)


@pytest.mark.parametrize(
    "metadata",
    [
        {"format": None},
        {"format": "captioning/3"},
        {"config": None},
        {"vocabulary": None},
        {"training": None},
        {"config": "{"},
        {"config": "[]"},
        {"config": "7"},
        {"config": "[" * 100_000},
        {"config": json.dumps({"encoder": 7})},
        {"config": json.dumps({"encoder": None})},
        {"config": json.dumps({"image_size": "64"})},
        {"config": json.dumps({"neck_size": [8]})},
        {"config": json.dumps({"unheard_of": 8})},
        {"vocabulary": "null"},
        {"vocabulary": "7"},
        {"vocabulary": "{}"},
        {"vocabulary": '["<pad>", "<start>", "<end>", "<unk>", 4]'},
        {"vocabulary": '["<pad>", "<start>", "<end>", "<unk>", ["a"]]'},
        {"vocabulary": '["a", "dog"]'},
        {"training": "[]"},
        {"training": "no JSON"},
    ],
    ids=repr,
)
def test_metadata_of_the_wrong_kind_is_refused(forged, metadata):
    path = forged(metadata)
    for read in (load_model, read_info):
        with refused(CheckpointError, "forged.safetensors"):
            read(path)


def test_tensors_that_do_not_fit_the_description_are_refused(forged):
    def config(**changes) -> dict[str, str]:
        return {"config": json.dumps(asdict(replace(TINY, **changes)))}

    words = VOCABULARY.words
    for other in ([*words, "more"], words[:-1]):
        with refused(CheckpointError, "forged.safetensors", "(11, 8)", f"({len(other)}, 8)"):
            load_model(forged({"vocabulary": json.dumps(other)}))
    for metadata, tensors, cause in [
        (config(decoder_size=9), None, "has shape"),
        (config(neck_size=None), None, "decoder.neck.0"),
        (config(encoder="tf_efficientnet_lite1"), None, "encoder.backbone"),
        (config(encoder="vit_tiny_patch16_224"), None, "vit_tiny_patch16_224"),
        (config(encoder="resnet1001"), None, "resnet1001"),
        (None, {"decoder.output.bias": None}, "decoder.output.bias is missing or extra"),
        (None, {"decoder.other": torch.zeros(3)}, "decoder.other is missing or extra"),
        (None, {"decoder.output.bias": torch.zeros(12)}, "decoder.output.bias has shape (12,)"),
        (None, {"decoder.output.bias": torch.full((11,), torch.nan)}, "decoder.output.bias are not all finite"),
        (None, {"decoder.gate.bias": torch.full((8,), -torch.inf)}, "decoder.gate.bias are not all finite"),
    ]:
        with refused(CheckpointError, cause):
            load_model(forged(metadata, tensors))


@pytest.mark.parametrize("size", [8192, 8193, 10**12])
def test_a_description_that_claims_huge_sizes_takes_no_memory(forged, size):
    huge = {**asdict(TINY), "neck_size": size, "embedding_size": size, "attention_size": size, "decoder_size": size}
    path = forged({"config": json.dumps(huge)})
    with little_memory(), refused(CheckpointError, "has shape" if size == 8192 else "must be a whole number"):
        load_model(path)


def test_a_huge_encoder_takes_no_memory(forged):
    huge = {**asdict(TINY), "encoder": "vit_giant_patch14_224", "image_size": 224}
    path = forged({"config": json.dumps(huge)})
    with little_memory(), refused(CheckpointError, "is missing or extra"):
        load_model(path)


def test_a_write_that_fails_leaves_what_was_there(saved, tmp_path):
    model = tiny_model(len(VOCABULARY))
    # A folder stands where the file should go.
    taken = tmp_path / "taken.safetensors"
    taken.mkdir()
    (taken / "precious").write_text("kept")
    with refused(CheckpointError, str(taken), "cannot be written"):
        save_model(taken, model, VOCABULARY, TRAINING)
    assert (taken / "precious").read_text() == "kept"
    # A file stands where the folder should be.
    parent = tmp_path / "parent"
    parent.write_text("kept")
    with refused(CheckpointError, str(parent), "cannot be written"):
        save_model(parent / "model.safetensors", model, VOCABULARY, TRAINING)
    assert parent.read_text() == "kept"
    assert sorted(tmp_path.iterdir()) == [parent, taken]


def test_a_disk_that_fills_up_leaves_the_old_checkpoint_whole(saved, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(saved.read_bytes())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with refused(CheckpointError, str(path), "cannot be written"):
            save_model(path, tiny_model(len(VOCABULARY), seed=1), VOCABULARY, TRAINING)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == saved.read_bytes()
    assert list(tmp_path.iterdir()) == [path]


def test_writing_over_a_checkpoint_replaces_it(tmp_path):
    path = tmp_path / "model.safetensors"
    for seed in (0, 1):
        save_model(path, tiny_model(len(VOCABULARY), seed), VOCABULARY, TrainingRecord(seed=seed))
        model, info = load_model(path)
        assert info.training == TrainingRecord(seed=seed)
        expected = tiny_model(len(VOCABULARY), seed).decoder.output.bias
        assert torch.equal(model.decoder.output.bias, expected)
    assert list(tmp_path.iterdir()) == [path]


def test_a_folders_checkpoints_are_listed_by_name(tmp_path):
    assert list_checkpoints(tmp_path / "missing") == []
    assert list_checkpoints(tmp_path) == []
    for name in ("b.safetensors", "a.safetensors", ".hidden.safetensors", "notes.md", ".a.safetensors.7.tmp"):
        (tmp_path / name).touch()
    (tmp_path / "folder.safetensors").mkdir()
    assert list_checkpoints(str(tmp_path)) == [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
