"""Files that a run left and something damaged: each is named with the remedy, or what it held is computed again."""

import pickle
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import train as train_command
from captioning.__main__ import main
from captioning.model.model import load_model, save_model
from captioning.record import TrainingRecord
from captioning.vocabulary import SPECIAL_TOKENS, Vocabulary
from tests.helpers import make_kaggle, make_photos, tiny_model
from tests.test_training import SIZES

pytestmark = [pytest.mark.hostile, pytest.mark.slow, pytest.mark.usefixtures("one_thread", "without_java")]
STAGES = ["--stages", "1", "3", "--epochs", "1", "--stage3-epochs", "1"]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def of_another_shape(path: Path) -> None:
    array = np.load(path)
    np.save(path, np.concatenate([array, array]))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": cut,
    "noise": lambda path: path.write_bytes(random.Random(0).randbytes(5000)),
    "a pickle": lambda path: path.write_bytes(pickle.dumps({"seed": 0})),
    "a list": lambda path: path.write_text("[1, 2]"),
    "a folder": make_folder,
    "of another shape": of_another_shape,
}
OF_ANY = [name for name in DAMAGES if name != "of another shape"]
OF_TRAINING = [
    *((file, damage) for file in ("run/stage3.ckpt", "run/stage1.safetensors", "run/run.json") for damage in OF_ANY),
    *((file, damage) for file in ("cache/*/features.npy", "cache/*/done.npy") for damage in DAMAGES),
    ("run/lock", "a folder"),
]
OF_FOLDERS = [(file, damage) for file in ("a.csv", "a.csv.partial.jsonl", "a.csv.run.json") for damage in OF_ANY]


def train(folder: Path, *flags: str) -> list[str]:
    data, *places = (str(folder / name) for name in ("data", "model.safetensors", "run", "cache"))
    named = [each for pair in zip(("--output", "--run", "--cache"), places, strict=True) for each in pair]
    return ["--data", data, *named, *SIZES, *STAGES, *flags]


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory) -> Path:
    """A training whose last stage has a state and has not finished."""
    folder = tmp_path_factory.mktemp("interrupted")
    make_kaggle(folder / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["train.py", *train(folder)])
        assert train_command.main() == 0
    (folder / "model.safetensors").unlink()
    model, info = load_model(folder / "run" / "stage3.safetensors")
    info.training.stages[-1].finished = False
    save_model(info.path, model, info.vocabulary, info.training)
    return folder


@pytest.fixture(scope="module")
def captioned(tmp_path_factory) -> Path:
    """A folder of photos, and a file of their captions that has lost its end to a crash."""
    folder = tmp_path_factory.mktemp("captioned")
    make_photos(folder / "photos", [f"{number}.png" for number in range(4)])
    words = Vocabulary([*SPECIAL_TOKENS, *"abcdefgh"])
    save_model(folder / "tiny.safetensors", tiny_model(), words, TrainingRecord())
    return folder


def check_named(code: int, error: str, path: Path) -> None:
    """Whether one sentence names a file, or what it lies in."""
    *_, sentence = error.splitlines()
    assert code == 2, error
    assert "Traceback" not in error
    assert sentence.endswith(".")
    assert path.name in sentence or str(path.parent) in sentence or str(path.parent.parent) in sentence


@pytest.mark.parametrize(("file", "damage"), OF_TRAINING)
def test_a_run_with_a_damaged_file_is_refused_with_the_remedy(interrupted, tmp_path, run_main, file, damage):
    folder = shutil.copytree(interrupted, tmp_path / "copy")
    [path, *_] = sorted(folder.glob(file))
    DAMAGES[damage](path)
    code, _, error = run_main(train_command.main, *train(folder, "--resume"))
    check_named(code, error, path)
    assert not (folder / "model.safetensors").exists()
    if damage == "a folder":
        assert any(each in error for each in ("remove", "delete", "There is no checkpoint"))


@pytest.mark.parametrize(("file", "damage"), OF_FOLDERS)
def test_a_folders_captions_with_a_damaged_file_are_refused_or_made_again(captioned, tmp_path, run_main, file, damage):
    folder = shutil.copytree(captioned, tmp_path / "copy")
    output, journal = folder / "a.csv", folder / "a.csv.partial.jsonl"
    command = ["caption", folder / "photos", "--checkpoint", folder / "tiny.safetensors", "--output", output]
    assert run_main(main, *command)[0] == 0
    expected = output.read_text()
    if file != "a.csv":
        rows = [line.rsplit(",", 2) for line in expected.splitlines()[1:]]
        journal.write_text(
            "".join(f'{{"photo": "{a}", "caption": "{b}", "log_probability": {c}}}\n' for a, b, c in rows)
        )
        output.unlink()
    path = folder / file
    DAMAGES[damage](path)
    code, _, error = run_main(main, *command)
    if code:
        check_named(code, error, path)
    else:
        assert output.read_text() == expected


def test_there_are_forty_of_them():
    assert len(OF_TRAINING) + len(OF_FOLDERS) > 40
