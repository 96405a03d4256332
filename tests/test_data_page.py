"""`docs/DATA.md`, followed to the word with a folder of eight photos."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from captioning.checkpoint import read_info
from captioning.data.datasets import read_dataset
from captioning.data.tables import CAPTION_COLUMNS, PHOTO_COLUMNS, SPLIT_NAMES
from captioning.vocabulary import tokenize
from tests.browser import ROOT

PAGE = (ROOT / "docs" / "DATA.md").read_text()
GROUNDS = {"grass": "#3a7d34", "sand": "#d9c28a", "water": "#2f6fa3"}


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def draw(caption: str, path: Path) -> None:
    """A photo of what a caption of the page says."""
    words = tokenize(caption)
    photo = Image.new("RGB", (320, 240), next(GROUNDS[word] for word in words if word in GROUNDS))
    colors = [word for word in words if word in ("red", "blue", "yellow", "white")]
    for place, color in enumerate(colors):
        ImageDraw.Draw(photo).ellipse((60 + 110 * place, 70, 160 + 110 * place, 170), color)
    photo.save(path)


@pytest.fixture
def folder(tmp_path) -> Path:
    """What somebody has who follows the page: the checkout's commands, the photos, and the captions."""
    for name in ("train.py", "configs"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "my-photos").mkdir()
    [table] = blocks("csv")
    (tmp_path / "my-photos" / "captions.csv").write_text(table)
    for name, caption in (line.split(",", 1) for line in table.splitlines()[1:]):
        draw(caption, tmp_path / "my-photos" / name)
    return tmp_path


@pytest.mark.slow
def test_the_page_leads_from_photos_to_captions(folder):
    # The same Python, and no Java: without it METEOR is left out, which takes longer than all the rest.
    environment = os.environ | {"PATH": "/nowhere", "PYTHONPATH": str(ROOT)}
    outputs = []
    for line in "".join(blocks("console")).splitlines():
        program, *arguments = shlex.split(line)
        assert program == "python"
        run = subprocess.run(
            [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=600
        )
        assert run.returncode == 0, run.stderr
        outputs.append(run.stdout)
    trained, caption, scores = outputs
    assert trained.startswith("my-photos: 6 / 1 / 1 photos in train / dev / test; left out: 0 without a photo")
    info = read_info(folder / "checkpoints" / "mine.safetensors")
    assert set(caption.split()) <= set(info.vocabulary.words)
    assert "ball" in caption
    assert "bleu4" in scores


def test_the_splits_of_the_page_are_as_it_says(folder):
    assert read_dataset(folder / "my-photos").sizes == {"train": 6, "dev": 1, "test": 1}


def test_the_page_names_every_column_and_split():
    for name in (*PHOTO_COLUMNS, *CAPTION_COLUMNS, *SPLIT_NAMES.keys() - {"restval"}):
        assert f"`{name}`" in PAGE
