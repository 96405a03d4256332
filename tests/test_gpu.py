"""On a GPU, captions, features and training are those of the CPU.

It needs neither the app nor a browser: python -m pytest --noconftest tests/test_gpu.py
"""

import csv
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from captioning import DEFAULT_CHECKPOINT, Captioner, SearchOptions, open_image
from captioning.checkpoint import read_info
from captioning.data.features import cached_features
from captioning.inference.runtime import ONNX_RUNTIME, PYTORCH, Runtime, choose_runtime
from captioning.model.model import load_model
from captioning.page.gallery import sample_photos
from tests.helpers import assert_same, captioner_of, make_kaggle

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no NVIDIA GPU on this machine")

ROOT = Path(__file__).parent.parent
STAGES = ["--stages", "1", "2", "3", "--epochs", "2", "--stage2-epochs", "2", "--stage3-epochs", "2"]
STAGES += ["--batch-size", "4", "--stage2-batch-size", "4", "--stage3-batch-size", "4", "--trained-blocks", "2"]
STAGES += ["--smallest-crop", "0.8", "--mirror", "--ema-decay", "0.5", "--bleu-reward", "0.5", "--no-graphs"]


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True)


def csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def on_gpu() -> Captioner:
    return captioner_of(DEFAULT_CHECKPOINT, PYTORCH, "cuda")


@pytest.fixture(scope="module")
def on_cpu() -> Captioner:
    return captioner_of(DEFAULT_CHECKPOINT, ONNX_RUNTIME)


@pytest.fixture(scope="module")
def pixels(on_cpu) -> list[np.ndarray]:
    return [on_cpu.pixels(open_image(path)) for path in sample_photos().values()]


def test_a_gpu_is_chosen_where_there_is_one():
    assert choose_runtime(read_info(DEFAULT_CHECKPOINT)) == Runtime(PYTORCH, "cuda", "float16")


@pytest.mark.parametrize("beam_size", [1, 5, 20])
def test_captions_are_those_of_onnx_runtime(on_gpu, on_cpu, pixels, beam_size):
    options = SearchOptions(beam_size=beam_size)
    found = [captioner.describe(captioner.encode(pixels), options) for captioner in (on_gpu, on_cpu)]
    for one, other in zip(*found, strict=True):
        assert_same(one, other)


def test_a_batch_gives_what_its_members_give_alone(on_gpu, pixels):
    together = on_gpu.describe(on_gpu.encode(pixels))
    for photo, caption in zip(pixels, together, strict=True):
        assert_same(caption, on_gpu.describe(on_gpu.encode([photo]))[0])


def test_another_beginning_gives_what_it_gives_on_a_cpu(on_gpu, on_cpu, pixels):
    options = SearchOptions(beam_size=3)
    beginnings = [["a", "dog"], []] * (len(pixels) // 2)
    found = [
        captioner.describe(captioner.encode(pixels[: len(beginnings)]), options, beginnings)
        for captioner in (on_gpu, on_cpu)
    ]
    for one, other in zip(*found, strict=True):
        assert_same(one, other)


def test_a_command_says_what_ran(on_cpu):
    photo = sample_photos()["Pizza"]
    done = command("-m", "captioning", "caption", photo, "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["runtime"] == asdict(Runtime(PYTORCH, "cuda", "float16"))
    assert said["log_probability"] == pytest.approx(on_cpu(photo).log_probability, abs=0.05)


def test_a_folder_gets_the_captions_of_a_cpu(tmp_path):
    folder = sample_photos()["Pizza"].parent
    for device in ("cuda", "cpu"):
        done = command("-m", "captioning", "caption", folder, "--output", tmp_path / f"{device}.csv",
                       "--device", device, "--precision", "float32")  # fmt: skip
        assert done.returncode == 0, done.stderr
    on_gpu, on_cpu = (csv_rows(tmp_path / f"{device}.csv") for device in ("cuda", "cpu"))
    assert len(on_gpu) == len(list(folder.glob("*.jpg")))
    for one, other in zip(on_gpu, on_cpu, strict=True):
        assert (one["photo"], one["caption"]) == (other["photo"], other["caption"])
        assert float(one["log_probability"]) == pytest.approx(float(other["log_probability"]), abs=1e-3)


def test_cached_features_are_those_of_a_cpu(tmp_path):
    photos = list(sample_photos().values())
    model, _ = load_model(DEFAULT_CHECKPOINT)
    on_cpu = cached_features(tmp_path / "cpu", model, photos, mirror=True)
    on_gpu = cached_features(tmp_path / "gpu", model.to("cuda"), photos, mirror=True)
    scale = np.abs(on_cpu).max()
    np.testing.assert_allclose(on_gpu, on_cpu, atol=5e-3 * float(scale))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_three_stages_are_trained(tmp_path, precision):
    data, output, run = make_kaggle(tmp_path / "data"), tmp_path / "model.safetensors", tmp_path / "run"
    done = command("train.py", "--data", data, "--output", output, "--run", run, "--cache", tmp_path / "cache",
                   "--start", DEFAULT_CHECKPOINT, "--precision", precision, *STAGES)  # fmt: skip
    assert done.returncode == 0, done.stderr
    for stage in (1, 2, 3):
        assert len(csv_rows(run / f"metrics_stage{stage}.csv")) == 2
    captions = [captioner_of(output, PYTORCH, device)(data / "Images" / "3.png") for device in ("cuda", "cpu")]
    assert_same(*captions)
