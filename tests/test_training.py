"""`train.py` for real, at small scale: a few photos, a small encoder, a few epochs."""

import csv
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import train as train_command
from captioning import Captioner
from captioning.checkpoint import load_checkpoint, read_info
from captioning.model.encoder import ImageEncoder
from captioning.training.task import cross_entropy, doubly_stochastic_penalty
from captioning.vocabulary import PAD
from tests.conftest import ROOT
from tests.helpers import make_photos

SIZES = ["--encoder", "tf_efficientnet_lite0", "--image-size", "64", "--neck-size", "16", "--embedding-size", "16"]
SIZES += ["--attention-size", "16", "--decoder-size", "16", "--min-frequency", "1", "--batch-size", "4"]
STAGES = ["--epochs", "2", "--schedule", "one-cycle", "--mirror", "--stage2-epochs", "2", "--stage2-batch-size", "4"]
STAGES += ["--trained-blocks", "2", "--smallest-crop", "0.8"]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Twenty-four photos of noise in the Kaggle layout, each with two captions."""
    folder = tmp_path_factory.mktemp("data")
    with (folder / "captions.txt").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "caption"])
        for index, photo in enumerate(make_photos(folder / "Images", [f"{index}.png" for index in range(24)])):
            color = ("red", "green", "blue")[index % 3]
            writer.writerow([photo.name, f"a {color} dog runs ."])
            writer.writerow([photo.name, f"the {color} dog number {index} runs on the grass"])
    return folder


def train(data: Path, folder: Path, *flags: str) -> list[str]:
    """The command that trains in a folder of its own, with the features shared."""
    places = ["--output", folder / "model.safetensors", "--state", folder / "state", "--cache", data / "cache"]
    return [sys.executable, "train.py", "--data", *map(str, [data, *places]), *SIZES, *flags]


def run(command: list[str]) -> subprocess.CompletedProcess:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    done = run(train(data, folder, *STAGES))
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_writes_a_checkpoint_with_its_story(trained, data):
    info = read_info(trained / "model.safetensors")
    assert info.training["dataset"] == {"name": "Flickr8k, Kaggle edition", "train": 18, "dev": 3, "test": 3}
    for number, stage in enumerate(info.training["stages"], start=1):
        assert stage["stage"] == number
        assert stage["settings"]["epochs"] == 2
        # The table ends with the epoch that was kept, the best of its stage.
        scores = [epoch["bleu4"] for epoch in stage["epochs"]]
        assert scores[-1] == max(scores)
    assert [row["beam_size"] for row in info.training["scores"]["test"]] == [1, 3, 5]
    assert Captioner.from_checkpoint(info.path)(data / "Images" / "0.png").text


@pytest.mark.slow
def test_the_first_stage_leaves_the_encoder_and_the_second_trains_its_last_blocks(trained):
    pretrained = ImageEncoder("tf_efficientnet_lite0", 64, pretrained=True).state_dict()
    changed = []
    for number in (1, 2):
        found = load_checkpoint(trained / "state" / f"stage{number}.safetensors")[0].encoder.state_dict()
        changed.append(
            {name for name in found if not torch.allclose(found[name], pretrained[name], rtol=1e-3, atol=1e-4)}
        )
    assert changed[0] == set()
    assert changed[1]
    assert all(
        name.startswith(("backbone.blocks.5", "backbone.blocks.6", "backbone.conv_head", "backbone.bn2"))
        for name in changed[1]
    )


@pytest.mark.slow
@pytest.mark.parametrize("stage", [1, 2])
def test_a_run_killed_and_resumed_equals_one_that_was_not(trained, data, tmp_path, stage):
    state = tmp_path / "state" / f"stage{stage}.ckpt"
    process = subprocess.Popen(
        train(data, tmp_path, *STAGES), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not state.is_file():
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "model.safetensors").exists()
    resumed = run(train(data, tmp_path, *STAGES, "--resume"))
    assert resumed.returncode == 0, resumed.stderr
    for number in (1, 2):
        states = [
            torch.load(folder / "state" / f"stage{number}.ckpt", weights_only=True) for folder in (trained, tmp_path)
        ]
        expected, found = (state["state_dict"] for state in states)
        assert states[0]["global_step"] == states[1]["global_step"]
        assert all(torch.equal(expected[name], found[name]) for name in expected)
    expected, found = (load_file(folder / "model.safetensors") for folder in (trained, tmp_path))
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_what_is_wrong_is_told_before_anything_is_computed(trained, data, tmp_path, run_main):
    (tmp_path / "unknown.toml").write_text("colour = 3")
    (tmp_path / "broken.toml").write_text("epochs = = 3")
    cases = {
        "a run that is there already": train(data, trained),
        "an output that is there already": [*train(data, trained), "--state", str(tmp_path / "new")],
        "nothing to resume": train(data, tmp_path, "--resume"),
        "no data": train(tmp_path / "nowhere", tmp_path),
        "no frequent word": [*train(data, tmp_path), "--min-frequency", "1000"],
        "no such encoder": [*train(data, tmp_path), "--encoder", "nonsense"],
        "a setting that is none": train(data, tmp_path, "--config", str(tmp_path / "unknown.toml")),
        "a file that is no settings": train(data, tmp_path, "--config", str(tmp_path / "broken.toml")),
        "no epochs": train(data, tmp_path, "--epochs", "0"),
        "a rate that is none": train(data, tmp_path, "--dropout", "1.5"),
        "a flag that is none": train(data, tmp_path, "--nonsense"),
    }
    for what, command in cases.items():
        code, _, error = run_main(train_command.main, *command[2:])
        assert code == 2, what
        assert error.endswith(".\n"), what
        assert error.count("\n") == 1, what


def test_the_default_checkpoints_settings_are_the_files(captioner):
    stage = captioner.info.training["stages"][0]
    assert "--config configs/flickr8k-efficientnet-lite2.toml" in captioner.info.training["command"]
    settings = tomllib.loads((ROOT / "configs" / "flickr8k-efficientnet-lite2.toml").read_text())
    for name in ("epochs", "batch_size", "learning_rate", "schedule", "label_smoothing", "mirror"):
        assert stage["settings"][name] == settings[name]
    assert captioner.info.config.encoder == "tf_efficientnet_lite2"


def test_padding_counts_for_nothing_in_the_loss():
    torch.manual_seed(0)
    logits, targets = torch.randn(2, 3, 7, 11), torch.randint(4, 11, (2, 3, 7))
    longer = torch.nn.functional.pad(logits, (0, 0, 0, 4), value=9.0)
    padded = torch.nn.functional.pad(targets, (0, 4), value=PAD)
    for smoothing in (0.0, 0.1):
        assert torch.allclose(cross_entropy(longer, padded, smoothing), cross_entropy(logits, targets, smoothing))
    attention = torch.randn(2, 3, 7, 5).softmax(dim=-1)
    padded_attention = torch.nn.functional.pad(attention, (0, 0, 0, 4), value=3.0)
    expected = doubly_stochastic_penalty(attention, targets)
    assert torch.allclose(doubly_stochastic_penalty(padded_attention, padded), expected)


def test_the_attention_penalty_is_the_papers():
    attention, targets = torch.rand(2, 1, 4, 3), torch.full((2, 1, 4), 5)
    by_hand = [(1 - attention[photo, 0, :, cell].sum()) ** 2 for photo in range(2) for cell in range(3)]
    assert torch.allclose(doubly_stochastic_penalty(attention, targets), torch.stack(by_hand).mean())
    once_everywhere = torch.eye(3).view(1, 1, 3, 3)
    assert doubly_stochastic_penalty(once_everywhere, torch.full((1, 1, 3), 5)) == 0
