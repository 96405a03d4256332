"""`train.py` for real, at small scale: a few photos, a small encoder, a few epochs."""

import csv
import io
import json
import pickle
import random
import re
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import train as train_command
from captioning import CHECKPOINT_FOLDER, Captioner
from captioning.__main__ import main
from captioning.checkpoint import read_info
from captioning.data.datasets import read_dataset
from captioning.model.encoder import ImageEncoder
from captioning.model.model import load_model, save_model
from captioning.training import learning_rate
from captioning.training.callbacks import warnings_of
from captioning.training.flags import read_settings
from captioning.training.learning_rate import describe_search
from captioning.training.plots import plot_learning_rates
from captioning.training.scores import SHARES
from captioning.training.settings import StageSettings
from captioning.training.task import doubly_stochastic_penalty
from captioning.vocabulary import PAD, Vocabulary
from tests.conftest import ROOT
from tests.helpers import make_kaggle, make_photos
from tests.processes import Child, command

pytestmark = pytest.mark.usefixtures("without_java")

SIZES = ["--encoder", "tf_efficientnet_lite0", "--image-size", "64", "--neck-size", "16", "--embedding-size", "16"]
SIZES += ["--attention-size", "16", "--decoder-size", "16", "--min-frequency", "1", "--no-graphs"]
OF_STAGE = {
    1: ["--epochs", "2", "--batch-size", "4", "--schedule", "one-cycle"],
    2: ["--stage2-epochs", "2", "--stage2-batch-size", "4", "--trained-blocks", "2", "--smallest-crop", "0.8"],
    3: ["--stage3-epochs", "2", "--stage3-batch-size", "4", "--bleu-reward", "0.5"],
}
OF_ALL = ["--mirror", "--ema-decay", "0.5", "--teacher-forcing", "0.5", "--patience", "2"]
STAGES = ["--stages", "1", "2", "3", *OF_ALL, *OF_STAGE[1], *OF_STAGE[2], *OF_STAGE[3]]
# The same as STAGES, in a file.
FILE = """
stages = [1, 2, 3]
mirror = true
ema_decay = 0.5
teacher_forcing = 0.5
patience = 2
[stage1]
epochs = 2
batch_size = 4
schedule = "one-cycle"
[stage2]
epochs = 2
batch_size = 4
trained_blocks = 2
smallest_crop = 0.8
[stage3]
epochs = 2
batch_size = 4
bleu_reward = 0.5
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return make_kaggle(tmp_path_factory.mktemp("data"))


def train(data: Path, folder: Path, *flags: str) -> list[str]:
    """The arguments that train in a folder of its own, with the features shared."""
    places = ["--output", folder / "model.safetensors", "--run", folder / "run", "--cache", data / "cache"]
    sizes = [*SIZES]
    if "--word-vectors" in flags:
        # They have their own.
        at = sizes.index("--embedding-size")
        del sizes[at : at + 2]
    return ["--data", *map(str, [data, *places]), *sizes, *flags]


def start(folder: Path, arguments: list[str]) -> Child:
    """Start `train.py` in a process that writes what it says into a folder."""
    return Child(folder / "out.txt", partial(command, name="train.py"), train_command.main, *arguments)


def run(folder: Path, arguments: list[str]) -> str:
    code, out = start(folder, arguments).end()
    assert code == 0, out
    return out


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    run(folder, train(data, folder, *STAGES, "--graphs"))
    return folder


@pytest.mark.slow
def test_writes_a_checkpoint_with_its_training_record(trained, data):
    info = read_info(trained / "model.safetensors")
    [dataset] = info.training.datasets
    assert dataset.name == data.name
    assert (dataset.train, dataset.dev, dataset.test) == (18, 3, 3)
    for number, stage in enumerate(info.training.stages, start=1):
        assert stage.stage == number
        assert stage.settings["epochs"] == 2
        assert [epoch["epoch"] for epoch in stage.epochs] == [1, 2]
        assert stage.epochs[stage.best_epoch - 1]["score"] == max(epoch["score"] for epoch in stage.epochs)
        for epoch in stage.epochs:
            assert 1 <= epoch["distinct"] <= 3
            assert 1 <= epoch["distinct_words"] <= epoch["words"] * 3 + 1e-3
            assert 0 <= epoch["movement"] <= 1
        rows = table(trained / "run" / f"metrics_stage{number}.csv")
        assert [{name: float(value) for name, value in row.items()} for row in rows] == stage.epochs
        assert Image.open(trained / "run" / f"loss_stage{number}.png").size > (600, 400)
    # The test split is read where that is asked for alone.
    assert dataset.scores.keys() == {"dev"}
    assert [score.beam_size for score in dataset.scores["dev"]] == [1, 3, 5]
    assert all(score.measures.keys() >= {"cider", "rouge_l"} for score in dataset.scores["dev"])
    assert Image.open(trained / "run" / f"beam_scores_{data.name}.png").size > (600, 400)
    assert any((trained / "run" / "tensorboard" / "stage1").iterdir())
    assert Captioner.from_checkpoint(info.path)(data / "Images" / "0.png").text


@pytest.mark.slow
@pytest.mark.parametrize("share", SHARES)
def test_means_of_the_last_two_stages_are_candidates(trained, share):
    names = ("stage2", "stage3", f"mean{share}")
    second, third, mean = (load_model(trained / "run" / f"{name}.safetensors")[0].state_dict() for name in names)
    for name, tensor in mean.items():
        if tensor.is_floating_point():
            assert torch.allclose(tensor, (1 - share) * second[name] + share * third[name], rtol=1e-3, atol=1e-6), name
    assert any(not torch.equal(mean[name], third[name]) for name in mean)


@pytest.mark.slow
def test_checkpoints_are_averaged(trained, tmp_path, run_main):
    paths, output = (
        [trained / "run" / f"stage{stage}.safetensors" for stage in (1, 2, 3)],
        tmp_path / "mean.safetensors",
    )
    code, _, error = run_main(main, "average", *paths, "--output", output)
    assert code == 0, error
    mean, *others = (load_model(path)[0].state_dict() for path in (output, *paths))
    for name, tensor in mean.items():
        if tensor.is_floating_point():
            expected = sum(other[name] for other in others) / 3
            assert torch.allclose(tensor, expected, rtol=1e-3, atol=1e-6), name
    record = read_info(output).training
    assert [stage.stage for stage in record.stages] == [1, 2, 3]
    assert record.means[-1].of == ["stage1", "stage2", "stage3"]
    assert record.means[-1].command.startswith("captioning average ")


@pytest.mark.slow
def test_what_has_no_mean_is_refused(trained, tmp_path, run_main):
    stage, output = trained / "run" / "stage3.safetensors", tmp_path / "mean.safetensors"
    model, info = load_model(stage)
    other = tmp_path / "other.safetensors"
    words = Vocabulary([*info.vocabulary.words[:-1], "another"])
    save_model(other, model, words, info.training)
    for arguments, named in (
        ([stage] * 17, "2 to 16 checkpoints, not 17"),
        ([stage], "2 to 16 checkpoints, not 1"),
        ([stage, other], "their architecture or their words differ"),
        ([stage, tmp_path / "nowhere.safetensors"], "nowhere.safetensors"),
    ):
        code, _, error = run_main(main, "average", *arguments, "--output", output)
        assert code == 2
        assert named in error
        assert len(error.splitlines()) == 1
        assert not output.exists()


@pytest.mark.slow
def test_a_finished_stage_is_trained_for_more_epochs_where_it_alone_is_named(trained, data, tmp_path):
    first = trained / "run" / "stage2.safetensors"
    run(tmp_path, train(data, tmp_path, *OF_STAGE[2], "--stages", "2", "--seed", "1", "--start", str(first)))
    stages = read_info(tmp_path / "run" / "stage2.safetensors").training.stages
    assert [(stage.stage, stage.seed, len(stage.epochs), stage.finished) for stage in stages] == [
        (1, 0, 2, True),
        (2, 0, 2, True),
        (2, 1, 2, True),
    ]


@pytest.mark.slow
def test_only_the_second_stage_changes_the_encoder_and_only_its_last_blocks(trained):
    encoders = [ImageEncoder("tf_efficientnet_lite0", 64, pretrained=True).state_dict()]
    for number in (1, 2, 3):
        encoders.append(load_model(trained / "run" / f"stage{number}.safetensors")[0].encoder.state_dict())
    changed = [
        {name for name in before if not torch.allclose(before[name], after[name], rtol=1e-3, atol=1e-4)}
        for before, after in pairwise(encoders)
    ]
    assert changed[0] == changed[2] == set()
    assert changed[1]
    last = ("backbone.blocks.5", "backbone.blocks.6", "backbone.conv_head", "backbone.bn2")
    assert all(name.startswith(last) for name in changed[1])


@pytest.mark.slow
def test_a_quantization_aware_stage_reads_photos_and_its_decoder_learns_from_what_int8_sees(trained, data, tmp_path):
    flags = ["--stages", "3", "--start", str(trained / "run" / "stage2.safetensors"), *OF_STAGE[3]]
    flags += ["--cache", str(tmp_path / "cache")]
    for folder, more in (("aware", ["--quantization-aware"]), ("again", ["--quantization-aware"]), ("not", [])):
        (tmp_path / folder).mkdir()
        run(tmp_path / folder, train(data, tmp_path / folder, *flags, *more))
        assert any((tmp_path / "cache").rglob("features.npy")) == (folder == "not")
    aware, again, not_aware = (
        load_model(tmp_path / folder / "run" / "stage3.safetensors")[0].state_dict()
        for folder in ("aware", "again", "not")
    )
    for name, tensor in aware.items():
        assert torch.equal(tensor, again[name])
        if name.startswith("encoder."):
            assert torch.equal(tensor, not_aware[name])
    assert any(not torch.equal(tensor, not_aware[name]) for name, tensor in aware.items())


@pytest.mark.slow
def test_a_run_killed_in_every_stage_and_resumed_equals_one_that_was_not(trained, data, tmp_path):
    each_step = ["--save-every", "0"]
    # The first at the end of an epoch, where alone a state is saved unless more are asked for.
    for stage, seconds, flags in ((1, 0.0, []), (2, 1.0, each_step), (3, 0.5, each_step)):
        resume = ["--resume"] if stage > 1 else []
        child = start(tmp_path, train(data, tmp_path, *STAGES, *flags, *resume))
        while not (tmp_path / "run" / f"stage{stage}.ckpt").is_file():
            assert child.alive, child.end()
            time.sleep(0.01)
        time.sleep(seconds)
        if stage == 2:
            child.interrupt()
            code, said = child.end()
            assert code == 130
            assert said.splitlines()[-1].startswith("Stopped; the progress is saved. To continue: python train.py")
        else:
            assert child.kill()
        assert not (tmp_path / "model.safetensors").exists()
    run(tmp_path, train(data, tmp_path, *STAGES, "--resume"))
    for number in (1, 2, 3):
        states = [
            torch.load(folder / "run" / f"stage{number}.ckpt", weights_only=True) for folder in (trained, tmp_path)
        ]
        expected, found = (state["state_dict"] for state in states)
        assert states[0]["global_step"] == states[1]["global_step"] == 10
        assert all(torch.equal(expected[name], found[name]) for name in expected)
        records = [read_info(folder / "run" / f"stage{number}.safetensors").training for folder in (trained, tmp_path)]
        expected, found = ([row | {"seconds": 0} for row in record.stages[-1].epochs] for record in records)
        assert expected == found
    expected, found = (load_file(folder / "model.safetensors") for folder in (trained, tmp_path))
    assert found.keys() == {name for name in expected if not name.startswith("graph.")}
    assert all(torch.equal(expected[name], found[name]) for name in found)


@pytest.mark.slow
def test_a_stage_has_finished_when_its_record_says_so(trained, data, tmp_path):
    """Not when its plots exist; a stage whose record does not say so is finished from its last state."""
    folder = tmp_path / "run"
    shutil.copytree(trained / "run", folder)
    for plot in folder.glob("loss_*.png"):
        plot.unlink()
    model, info = load_model(folder / "stage3.safetensors")
    info.training.stages[-1].finished = False
    save_model(info.path, model, info.vocabulary, info.training)
    out = run(tmp_path, train(data, tmp_path, *STAGES, "--resume"))
    assert re.findall(r"^Stage (\d):", out, re.MULTILINE) == ["3"]
    expected, found = (read_info(place / "stage3.safetensors").training.stages for place in (trained / "run", folder))
    assert [(stage.finished, stage.epochs) for stage in found] == [(True, stage.epochs) for stage in expected]


@pytest.fixture(scope="module")
def interrupted(trained, data, tmp_path_factory) -> Path:
    """A run whose third stage has a state and has not finished."""
    folder = tmp_path_factory.mktemp("interrupted")
    shutil.copytree(trained / "run", folder / "run")
    model, info = load_model(folder / "run" / "stage3.safetensors")
    info.training.stages[-1].finished = False
    save_model(info.path, model, info.vocabulary, info.training)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "difference"),
    [
        ("--precision bf16-mixed", "precision 32-true instead of bf16-mixed"),
        ("--devices 2", "devices 1 instead of 2"),
        ("--word-vectors FOLDER/vectors.txt --freeze-embedding", "another file of word vectors"),
        ("--seed 1", "seed 0 instead of 1"),
        ("--stages 1 3", "stages 1, 2, 3 instead of 1, 3"),
        ("--stages 2 3 --start FOLDER/run/stage1.safetensors", "another checkpoint to start from"),
        ("--min-frequency 2", "another vocabulary"),
        (
            "--decoder-size 24 --stage2-learning-rate 0.5",
            "decoder size 16 instead of 24 and stage 2 learning rate 0.0001",
        ),
        # By its file of captions, which is the same data set.
        ("--data OTHER/captions.txt", "another set of photos and captions in data"),
        ("--data REPAINTED", "another set of photos and captions in data"),
    ],
)
def test_a_run_is_resumed_with_all_that_its_states_depend_on(interrupted, data, tmp_path, run_main, flags, difference):
    other = shutil.copytree(data, tmp_path / data.name, ignore=shutil.ignore_patterns("cache"))
    captions = other / "captions.txt"
    captions.write_text(captions.read_text().replace("a red dog runs .", "a dog runs red .", 1))
    # A photo of the same name and size.
    repainted = shutil.copytree(data, tmp_path / "repainted" / data.name, ignore=shutil.ignore_patterns("cache"))
    photo = repainted / "Images" / "0.png"
    photo.write_bytes(photo.read_bytes()[:-1] + b"\0")
    (interrupted / "vectors.txt").write_text("dog 0.5 -0.25 1\n")
    for name, place in {"FOLDER": interrupted, "OTHER": other, "REPAINTED": repainted}.items():
        flags = flags.replace(name, str(place))
    flags = flags.split()
    # In a file, as not all of them have an effect on each of these runs.
    config = tmp_path / "stages.toml"
    config.write_text(FILE)
    command = train(data, interrupted, "--config", str(config), "--resume", *flags)
    code, _, error = run_main(train_command.main, *command)
    assert code == 2
    assert difference in error
    assert error.endswith(": resume with the same as then, or name another --run.\n")
    assert error.count("\n") == 1


@pytest.mark.slow
def test_a_run_that_diverges_is_stopped_before_its_state_is_saved(data, tmp_path, run_main):
    flags = ["--epochs", "2", "--batch-size", "4", "--save-every", "0", "--attention-weight", "1e300"]
    code, _, error = run_main(train_command.main, *train(data, tmp_path, *flags))
    assert code == 2
    assert error.splitlines()[-1].startswith("Stage 1 has diverged at step 1,")
    assert not list((tmp_path / "run").glob("*.ckpt"))


@pytest.mark.slow
def test_what_is_not_said_with_flags_is_compared_too_and_an_older_fingerprint_is_extended(
    interrupted, data, tmp_path, run_main
):
    folder = shutil.copytree(interrupted, tmp_path / "resumed") / "run"
    begun = json.loads((folder / "run.json").read_text())
    command = train(data, folder.parent, *STAGES, "--resume")
    other = {"torch": "1.0", "lightning": "2.0", "num_nodes": 2, "freeze_embedding": True}
    (folder / "run.json").write_text(json.dumps(begun | other))
    code, _, error = run_main(train_command.main, *command)
    assert code == 2
    for difference in ("torch 1.0", "lightning 2.0", "num nodes 2", "freeze embedding True"):
        now = begun[difference.rpartition(" ")[0].replace(" ", "_")]
        assert f"{difference} instead of {now}" in error
    # An older run saved less; its damaged state stops it before it trains.
    (folder / "run.json").write_text(json.dumps({"vocabulary": begun["vocabulary"], "decoder_size": 16, "seed": 0}))
    (folder / "stage3.ckpt").write_bytes(b"")
    code, _, error = run_main(train_command.main, *command)
    assert (code, "stage3.ckpt is damaged" in error) == (2, True)
    assert json.loads((folder / "run.json").read_text()) == begun


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (lambda state, _: state[: len(state) // 2], "is damaged"),
        (lambda *_: b"", "is damaged"),
        (lambda *_: random.Random(0).randbytes(10_000), "is damaged"),
        (lambda *_: pickle.dumps({"state_dict": {}}), "is damaged"),
        (lambda *_: saved_with_torch([1, 2]), "is damaged"),
        (lambda *_: saved_with_torch({"state_dict": {}, "callbacks": {"SaveState": {}}}), "is not a state of stage 3"),
        (lambda _, folder: (folder / "stage2.ckpt").read_bytes(), "is not a state of stage 3"),
        (lambda state, _: without_columns(state, "score"), "is of an older version"),
    ],
    ids=["cut", "empty", "noise", "pickle", "list", "of another model", "of another stage", "without scores"],
)
def test_a_state_that_cannot_be_resumed_is_named_with_the_remedy(
    interrupted, data, tmp_path, run_main, content, problem
):
    folder = shutil.copytree(interrupted / "run", tmp_path / "run")
    state = folder / "stage3.ckpt"
    state.write_bytes(content(state.read_bytes(), folder))
    code, _, error = run_main(train_command.main, *train(data, tmp_path, *STAGES, "--resume"))
    assert code == 2
    assert error.splitlines()[-1].startswith(f"{state} {problem}")
    assert error.endswith(": remove it, and stage 3 is trained from its beginning.\n")
    assert "Traceback" not in error


def saved_with_torch(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def without_columns(state: bytes, *columns: str) -> bytes:
    """A state whose epochs lack columns, as an older version wrote them."""
    content = torch.load(io.BytesIO(state), weights_only=True)
    table = content["callbacks"]["EpochTable"]
    table["rows"] = [{name: value for name, value in row.items() if name not in columns} for row in table["rows"]]
    return saved_with_torch(content)


@pytest.mark.slow
def test_a_state_of_before_the_columns_that_tell_of_a_run_gone_wrong_is_resumed(interrupted, data, tmp_path):
    folder = shutil.copytree(interrupted / "run", tmp_path / "run")
    state = folder / "stage3.ckpt"
    state.write_bytes(without_columns(state.read_bytes(), "words", "distinct", "distinct_words", "movement"))
    (folder / "run.json").unlink()
    run(tmp_path, train(data, tmp_path, *STAGES, "--stage3-epochs", "3", "--resume"))
    rows = table(folder / "metrics_stage3.csv")
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert [bool(row["movement"]) for row in rows] == [False, False, True]


@pytest.mark.slow
def test_ctrl_c_while_features_are_cached_stops_at_once_and_keeps_the_cache(tmp_path):
    names = [f"{index}.png" for index in range(400)]
    make_photos(tmp_path / "Images", names)
    rows = [f"{name},A dog runs on the grass ." for name in names]
    (tmp_path / "captions.txt").write_text("\n".join(["image,caption", *rows]))
    child = start(tmp_path, [*train(tmp_path, tmp_path), "--image-size", "256"])

    def cached() -> list[np.ndarray]:
        return [np.load(done) for done in tmp_path.glob("cache/*/done.npy")]

    while not any(done.any() for done in cached()):
        assert child.alive, child.end()
        time.sleep(0.01)
    child.interrupt()
    code, said = child.end()
    assert code == 130
    assert "Traceback" not in said
    # There is nothing to resume yet: the same command continues with the cache.
    assert "To continue: python train.py" in said.splitlines()[-1]
    assert "--resume" not in said
    [done] = cached()
    assert 0 < done.sum() < len(done)


@pytest.mark.slow
def test_a_run_starts_from_a_checkpoint_with_the_stages_it_lacks(trained, data, tmp_path):
    first = trained / "run" / "stage1.safetensors"
    run(tmp_path, train(data, tmp_path, *OF_ALL, *OF_STAGE[2], "--stages", "1", "2", "--start", str(first)))
    assert not (tmp_path / "run" / "stage1.ckpt").exists()
    expected, found = (load_file(folder / "run" / "stage2.safetensors") for folder in (trained, tmp_path))
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.slow
def test_several_data_sets_are_trained_on_together_and_scored_separately(data, tmp_path):
    """The second has no test split, and one of its photos is a dev photo of the first in another size."""
    second = tmp_path / "second"
    dev = read_dataset(data).split("dev")[0]
    photos = make_photos(second, [f"{index}.png" for index in range(30, 36)])
    for photo in photos:
        # Noise of its own, for the photos of both data sets are made alike.
        Image.open(photo).rotate(180).save(photo)
    with Image.open(dev.photo) as photo:
        photo.resize((96, 96)).save(photos[0], quality=80)
    images = [
        {"filename": photo.name, "split": "val" if place > 3 else "train", "sentences": [{"raw": "A zebra stands."}]}
        for place, photo in enumerate(photos)
    ]
    (second / "dataset_second.json").write_text(json.dumps({"images": images}))
    command = train(data, tmp_path, "--stages", "1", "3", "--epochs", "1", "--stage3-epochs", "1", "--score-test")
    command[command.index(str(data)) + 1 : command.index(str(data)) + 1] = [str(second)]
    out = run(tmp_path, [*command, "--cache", str(tmp_path / "cache"), "--precision", "bf16-mixed"])
    # Train and dev, cached once for both stages.
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert "1 of 4 train photos of dataset_second left out" in out
    assert "dataset_second has no test split to score.\n" in out
    info = read_info(tmp_path / "model.safetensors")
    assert "zebra" in info.vocabulary.words
    first, other = info.training.datasets
    assert (first.train, first.dev, other.train, other.dev, other.test) == (18, 3, 3, 2, 0)
    assert (first.scores.keys(), other.scores.keys()) == ({"dev", "test"}, {"dev"})
    stages = read_info(tmp_path / "run" / "stage3.safetensors").training.stages
    assert [stage.stage for stage in stages] == [1, 3]
    for stage in stages:
        assert stage.epochs[0].keys() >= {"bleu4", f"bleu4_{data.name}", "cider_dataset_second", "score"}
    assert {row["dataset"] for row in table(tmp_path / "run" / "beam_scores.csv")} == {first.name, other.name}


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_two_processes_share_the_work_and_agree_on_the_scores(data, tmp_path):
    script = tmp_path / "both.py"
    script.write_text(TWO_PROCESSES)
    flags = [*OF_STAGE[1], "--stages", "1", "--devices", "2"]
    subprocess.run([sys.executable, script, *train(data, tmp_path, *flags)], cwd=ROOT, capture_output=True, check=True)
    rows = [json.loads((tmp_path / f"rows{rank}.json").read_text()) for rank in (0, 1)]
    assert rows[0] == rows[1]
    assert [row["epoch"] for row in rows[0]] == [1, 2]
    assert read_info(tmp_path / "model.safetensors").training.stages[0].settings["batch_size"] == 4


# What each process saw at the end of every epoch, whichever writes the table.
TWO_PROCESSES = f"""
import json, os, sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
folder = Path(__file__).parent
import train
from captioning.training.callbacks import EpochTable
ended = EpochTable.on_train_epoch_end
def on_train_epoch_end(self, trainer, task):
    ended(self, trainer, task)
    rows = [row | {{"seconds": 0}} for row in self.rows]
    (folder / f"rows{{trainer.global_rank}}.json").write_text(json.dumps(rows))
EpochTable.on_train_epoch_end = on_train_epoch_end
sys.exit(train.main())
"""


@pytest.mark.slow
def test_the_learning_rate_finder_goes_through_small_data_again_and_draws_the_losses(
    data, tmp_path, run_main, monkeypatch
):
    drawn = []
    monkeypatch.setattr(
        learning_rate, "plot_learning_rates", lambda *found: (drawn.append(found), plot_learning_rates(*found))
    )
    # Five batches an epoch, of which the settings ask for one.
    flags = ["--find-lr", "1", "--epochs", "1", "--batch-size", "4", "--teacher-forcing", "0.5"]
    code, out, error = run_main(train_command.main, *train(data, tmp_path, *flags))
    assert code == 0, error
    [(rates, losses, suggestion, _)] = drawn
    assert len(rates) == len(losses) > 50
    assert f"Suggested learning rate: {describe_search(rates, losses, suggestion)} (see " in out
    assert Image.open(tmp_path / "run" / "lr_find_stage1.png").size > (600, 400)
    assert not list((tmp_path / "run").glob("*.ckpt"))


@pytest.mark.slow
def test_the_learning_rate_finder_does_without_a_long_dev_split(tmp_path, run_main):
    """Of which a hundred batches would be scored, after each of the passes over a short train split."""
    photos = make_photos(tmp_path, [f"{number}.png" for number in range(112)])
    rows = [
        {"image": photo.name, "caption": "A dog runs.", "split": "train" if place < 4 else "dev"}
        for place, photo in enumerate(photos)
    ]
    (tmp_path / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    flags = ["--find-lr", "1", "--batch-size", "1"]
    code, out, error = run_main(train_command.main, *train(tmp_path, tmp_path, *flags))
    assert code == 0, error
    assert "Suggested learning rate: " in out


@pytest.mark.slow
def test_machines_that_would_not_find_each_other_are_refused(data, tmp_path, run_main, monkeypatch):
    for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK"):
        monkeypatch.delenv(name, raising=False)
    command = train(data, tmp_path, "--num-nodes", "2")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    code, _, error = run_main(train_command.main, *command)
    assert code == 2
    assert error.startswith("Machines do not find each other without MASTER_PORT, NODE_RANK: set on each ")
    assert error.count("\n") == 1


def test_a_suggested_learning_rate_is_trusted_only_within_the_search():
    rates, falling = [10.0 ** (place / 25 - 4) for place in range(100)], [9 - place / 20 for place in range(100)]
    assert describe_search(rates, falling, rates[50]) == "1.0e-02"
    for edge in (10, 98):
        assert "an edge of the rates searched" in describe_search(rates, falling, rates[edge])
    assert "the loss falls at no rate" in describe_search(rates, falling[::-1], rates[50])
    assert "the loss diverged within 5 batches" in describe_search(rates[:5], falling[:5], None)


@pytest.mark.slow
def test_mistakes_are_refused_before_anything_is_computed(trained, data, tmp_path, run_main):
    (tmp_path / "unknown.toml").write_text("colour = 3")
    (tmp_path / "broken.toml").write_text("epochs = = 3")
    (tmp_path / "vectors.txt").write_text("dog one two three")
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "run.json").write_text('{"seed": ')
    (damaged / "stage1.ckpt").touch()
    elsewhere = [*train(data, trained, *STAGES, "--resume"), "--output", str(tmp_path / "other.safetensors")]
    cases = {
        "an earlier run": train(data, trained),
        "an output that exists": [*train(data, trained), "--run", str(tmp_path / "new")],
        "nothing to resume": train(data, tmp_path, "--resume"),
        "a run of another model": [*elsewhere, "--decoder-size", "24"],
        "a run of other settings": [*elsewhere, "--stage2-learning-rate", "0.5"],
        "a run of another vocabulary": [*elsewhere, "--min-frequency", "2"],
        "a run with a damaged fingerprint": [*elsewhere, "--run", str(damaged)],
        "no data": train(tmp_path / "nowhere", tmp_path),
        "no frequent word": [*train(data, tmp_path), "--min-frequency", "1000"],
        "no such encoder": [*train(data, tmp_path), "--encoder", "nonsense"],
        "an unknown setting": train(data, tmp_path, "--config", str(tmp_path / "unknown.toml")),
        "a file that is not TOML": train(data, tmp_path, "--config", str(tmp_path / "broken.toml")),
        "no epochs": train(data, tmp_path, "--epochs", "0"),
        "a dropout above 1": train(data, tmp_path, "--dropout", "1.5"),
        "an unknown flag": train(data, tmp_path, "--nonsense"),
        "more blocks than there are": train(data, tmp_path, "--trained-blocks", "20"),
        "no comparison": train(data, tmp_path, "--stages", "1", "3", "--samples", "1"),
        "no word vectors": train(data, tmp_path, "--word-vectors", str(tmp_path / "nowhere.txt")),
        "a file without word vectors": train(data, tmp_path, "--word-vectors", str(tmp_path / "vectors.txt")),
        "no device": train(data, tmp_path, "--devices", "0"),
        "a place that cannot be written": train(data, tmp_path, "--run", "/proc/run"),
        "a cache that cannot be written": train(data, tmp_path, "--cache", "/proc/cache"),
        "no checkpoint to start from": train(data, tmp_path, "--start", str(tmp_path / "nowhere.safetensors")),
        "a data set twice": [*train(data, tmp_path), "--data", str(data), str(data)],
        "no stage before": train(data, tmp_path, "--find-lr", "2"),
    }
    for what, arguments in cases.items():
        code, _, error = run_main(train_command.main, *arguments)
        assert code == 2, what
        assert error.endswith(".\n"), what
        assert error.count("\n") == 1, what


@pytest.mark.slow
def test_word_vectors_initialise_the_embedding_and_do_not_change_if_frozen(data, tmp_path, run_main):
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("dog 0.5 -0.25 1\ngrass 2 4 8\nunheard 1 1 1\n")
    flags = ["--stages", "1", "--epochs", "1", "--word-vectors", str(vectors), "--freeze-embedding"]
    code, out, error = run_main(train_command.main, *train(data, tmp_path, *flags))
    assert code == 0, error
    assert "Word vectors: 2 of " in out
    model, info = load_model(tmp_path / "run" / "stage1.safetensors")
    assert info.config.embedding_size == 3
    for word, vector in (("dog", [0.5, -0.25, 1]), ("grass", [2, 4, 8])):
        assert model.decoder.embedding.weight[info.vocabulary.words.index(word)].tolist() == vector


@pytest.mark.parametrize("path", sorted(CHECKPOINT_FOLDER.glob("*.safetensors")), ids=lambda path: path.stem)
def test_a_shipped_checkpoints_settings_are_those_of_its_commands(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    info = read_info(path)
    assert {stage.stage for stage in info.training.stages} == {1, 2, 3}
    for stage in info.training.stages:
        *_, config = re.findall(r"--config (\S+)", stage.command)
        assert config == f"configs/{path.stem}.toml"
        stages = read_settings(shlex.split(stage.command)[2:], "").stages
        # Older records name the decay otherwise, and lack settings that came later, which stood at their defaults.
        settings = dict(stage.settings)
        decay = settings.pop("averaging", 0.0)
        assert asdict(StageSettings(**{"ema_decay": decay, **settings})) == asdict(stages[stage.stage])
    assert info.config.encoder == "tf_efficientnet_lite2"


SOUND = {"epoch": 2, "bleu4": 21.0, "words": 9.0, "distinct": 830, "distinct_words": 240, "movement": 0.25}


@pytest.mark.parametrize(
    ("sign", "warning"),
    [
        ({"distinct": 1}, "does not heed the photo"),
        ({"distinct": 10}, "does not heed the photo"),
        ({"words": 29.2}, "near the limit of 30"),
        ({"bleu4": 0.0}, "BLEU-4 is 0"),
        ({"movement": 0.0004}, "attention moves by 0.000"),
    ],
)
def test_signs_of_a_run_gone_wrong_are_warned_of(sign, warning):
    [said] = warnings_of(SOUND | sign, 1000)
    assert warning in said
    assert ": try " in said
    assert said.endswith(".")


@pytest.mark.slow
def test_signs_of_a_run_gone_wrong_are_printed_after_their_epoch(trained, data):
    dev = read_dataset(data).sizes["dev"]
    rows = [row for number in OF_STAGE for row in table(trained / "run" / f"metrics_stage{number}.csv")]
    epochs = [{name: float(value) for name, value in row.items()} for row in rows]
    warnings = [list(warnings_of(epoch, dev)) for epoch in epochs]
    assert any(warnings)
    _, *printed = re.split(r"^ +epoch .*\n", (trained / "out.txt").read_text(), flags=re.MULTILINE)
    assert [re.findall("^Warning: .*", after, re.MULTILINE) for after in printed] == warnings


def test_what_is_sound_is_not_warned_of():
    assert not list(warnings_of(SOUND, 1000))
    # An epoch may end before scores rise, and a single photo has a single caption.
    assert not list(warnings_of(SOUND | {"epoch": 1, "bleu4": 0.0, "movement": 0.0}, 1000))
    assert not list(warnings_of(SOUND | {"distinct": 1}, 1))


def test_the_attention_penalty_ignores_padding():
    torch.manual_seed(0)
    targets = torch.randint(4, 11, (2, 3, 7))
    attention = torch.randn(2, 3, 7, 5).softmax(dim=-1)
    padded = torch.nn.functional.pad(targets, (0, 4), value=PAD)
    padded_attention = torch.nn.functional.pad(attention, (0, 0, 0, 4), value=3.0)
    expected = doubly_stochastic_penalty(attention, targets)
    assert torch.allclose(doubly_stochastic_penalty(padded_attention, padded), expected)


def test_the_attention_penalty_equals_the_papers_equation():
    attention, targets = torch.rand(2, 1, 4, 3), torch.full((2, 1, 4), 5)
    by_hand = [(1 - attention[photo, 0, :, cell].sum()) ** 2 for photo in range(2) for cell in range(3)]
    assert torch.allclose(doubly_stochastic_penalty(attention, targets), torch.stack(by_hand).mean())
    once_everywhere = torch.eye(3).view(1, 1, 3, 3)
    assert doubly_stochastic_penalty(once_everywhere, torch.full((1, 1, 3), 5)) == 0
