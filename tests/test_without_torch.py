"""The command line and the page without PyTorch: nothing of it is imported, and nothing of it need be installed.

`make test-app` runs this file and `test_main_way.py` again in an environment that has the package's wheel and what that
needs, and no PyTorch.
"""

import csv
import json
import os
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.browser import ROOT

# Runs a command, or a script of the page, and prints on a line of its own what was imported of these.
HEAVY = ("torch", "torchvision", "timm", "lightning", "scipy", "skimage", "transformers")
TAIL = f"\nimport sys; print('\\nimported', [name for name in {HEAVY} if name in sys.modules])"
COMMAND = "import sys; from captioning.__main__ import main\nassert main() == 0" + TAIL
PAGE = """
import sys
from streamlit.testing.v1 import AppTest
for view in ("step", "search", "compare", "model"):
    app = AppTest.from_file("app.py", default_timeout=120)
    app.query_params["view"] = view
    app.run()
    assert not app.exception, app.exception
    assert not app.error, app.error
    assert app.session_state["view"] == view
"""

FRESH = pytest.mark.skipif(
    "CAPTIONING_WITHOUT_TORCH" not in os.environ, reason="make test-app runs it, in an environment of its own"
)


def run(script: str, *arguments: object, besides: str = "[]") -> str:
    """What a script prints before its last line, which must name nothing heavy, or just these besides."""
    call = [sys.executable, "-c", script, *map(str, arguments)]
    process = subprocess.run(call, cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    out, _, imported = process.stdout.rstrip("\n").rpartition("\n")
    assert imported in ("imported []", f"imported {besides}")
    return out


@pytest.fixture(scope="module")
def data(photos, tmp_path_factory) -> Path:
    """A data set in the Kaggle layout of the photos that come with the app."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "Images").symlink_to(photos)
    with (folder / "captions.txt").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "caption"])
        writer.writerows([photo.name, f"a photo of a {photo.stem}"] for photo in sorted(photos.glob("*.jpg")))
    return folder


@FRESH
def test_nothing_of_pytorch_is_installed():
    assert [name for name in HEAVY if find_spec(name)] == []


@FRESH
def test_the_installed_wheel_captions_from_any_folder(captioner, photos, tmp_path):
    photo, command = photos / "pizza.jpg", Path(sys.executable).with_name("captioning")
    ran = subprocess.run([command, "caption", photo], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == captioner(photo).text
    site = Path(sysconfig.get_path("purelib"), "captioning", "checkpoints")
    helped = subprocess.run([command, "--help"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert str(site) in "".join(helped.stdout.split())
    subprocess.run([sys.executable, "-m", "pip", "check"], check=True)


def test_a_photo_is_captioned(captioner, photos):
    photo = photos / "pizza.jpg"
    assert run(COMMAND, "caption", photo).strip() == captioner(photo).text
    [line] = run(COMMAND, "caption", photo, "--json").split("\n")[:1]
    assert json.loads(line)["caption"] == captioner(photo).text


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_folder_is_captioned(photos, tmp_path, suffix):
    output = tmp_path / f"captions{suffix}"
    run(COMMAND, "caption", photos, "--output", output)
    assert output.stat().st_size > 1000


@pytest.mark.parametrize("kind", ["gif", "png", "html", "json"])
def test_a_caption_is_exported(photos, tmp_path, kind):
    output = tmp_path / f"photo.{kind}"
    run(COMMAND, "export", photos / "pizza.jpg", "--format", kind, "-o", output)
    assert output.stat().st_size > 1000


@pytest.mark.slow
def test_a_split_is_scored(data):
    flags = ["--data", data, "--split", "dev", "--beam-size", 1, "--json"]
    # NLTK takes scipy along where something else has brought it.
    scores = json.loads(run(COMMAND, "evaluate", *flags, besides="['scipy']").strip())
    assert scores["split"] == "dev"
    assert {"bleu", "cider", "rouge_l"} <= scores["scores"][0].keys()


@pytest.mark.slow
def test_every_view_of_the_page_is_drawn():
    run(PAGE + TAIL)


def test_what_needs_pytorch_says_what_to_install(photos):
    if find_spec("torch"):
        pytest.skip("PyTorch is installed")
    call = [sys.executable, "-m", "captioning", "caption", photos / "pizza.jpg", "--device", "cuda"]
    process = subprocess.run(call, cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 2
    assert process.stderr.endswith("pip install -r requirements-train.txt.\n")
    assert process.stderr.count("\n") == 1
