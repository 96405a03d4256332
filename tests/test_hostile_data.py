"""Captions files as people have them, or make them up, and photos that go away: examples or one sentence, in time."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from captioning import DEFAULT_CHECKPOINT, SearchOptions
from captioning.batch.run import Job, Result, caption_folder
from captioning.batch.threads import caption_with_threads
from captioning.checkpoint import read_info
from captioning.data.datasets import SPLITS, CaptionDataset, read_dataset
from captioning.errors import DatasetError, ImageError
from captioning.evaluation.evaluate import evaluate
from captioning.training.run import TrainingRun
from captioning.training.settings import RunSettings, StageSettings
from tests.conftest import ROOT
from tests.helpers import TINY, make_photos, refused

pytestmark = [pytest.mark.hostile, pytest.mark.usefixtures("one_thread")]
NAMES = [f"photo{number}.jpg" for number in range(16)]
CAPTION = "A brown dog runs over the green grass with a ball ."
LINES = 1_000_000
SECONDS = 30
MEMORY = 1200 * 2**20


def write_kaggle(folder: Path, lines: list[str], encoding: str = "utf-8") -> Path:
    """The Kaggle edition; its captions file."""
    make_photos(folder / "Images", NAMES)
    path = folder / "captions.txt"
    path.write_bytes("\n".join(["image,caption", *lines]).encode(encoding))
    return path


def write_published(folder: Path, captions: str, train: str = "photo0.jpg\n") -> Path:
    """Flickr8k as it was published, with a photo in each split; its captions file."""
    make_photos(folder / "Flicker8k_Dataset", NAMES[:3])
    text = folder / "Flickr8k_text"
    text.mkdir()
    for split, listed in zip(SPLITS, (train, "photo1.jpg\n", "photo2.jpg\n"), strict=True):
        (text / f"Flickr_8k.{split}Images.txt").write_text(listed)
    path = text / "Flickr8k.token.txt"
    path.write_bytes(captions.encode(errors="surrogateescape"))
    return path


def captions_of(folder: Path) -> dict[str, tuple[str, ...]]:
    examples = [example for split in read_dataset(folder).splits.values() for example in split]
    return {example.photo.name: example.captions for example in examples}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_captions_are_read_in_every_encoding_that_says_what_it_is(tmp_path, encoding):
    lines = [f"{name},Ein Hund läuft über die 草 ." for name in NAMES]
    path = write_kaggle(tmp_path, lines, encoding)
    if encoding in ("utf-16-le", "utf-16-be"):
        with refused(DatasetError, str(path)):
            read_dataset(tmp_path)
    else:
        assert captions_of(tmp_path) == dict.fromkeys(NAMES, ("Ein Hund läuft über die 草 .",))


def test_a_latin_1_file_loses_no_more_than_its_accents(tmp_path):
    write_kaggle(tmp_path, [f"{name},A café , a dog" for name in NAMES], "latin-1")
    assert captions_of(tmp_path) == dict.fromkeys(NAMES, ("A caf\N{REPLACEMENT CHARACTER} , a dog",))


@pytest.mark.parametrize("character", "\0\v\f\x1c\x85\u2028\u2029\t\ufeff")
def test_only_a_line_end_ends_a_line(tmp_path, character):
    caption = f"A dog{character}, a cat ."
    write_kaggle(tmp_path / "kaggle", [f"{name},{caption}" for name in NAMES])
    write_published(tmp_path / "published", "".join(f"{name}#0\t{caption}\n" for name in NAMES[:3]))
    assert captions_of(tmp_path / "kaggle") == dict.fromkeys(NAMES, (caption,))
    assert captions_of(tmp_path / "published") == dict.fromkeys(NAMES[:3], (caption,))


def test_a_quote_left_open_is_reported_with_its_line_and_loses_no_captions(tmp_path):
    lines = [f"{name},A dog ." for name in NAMES]
    write_kaggle(tmp_path, [*lines[:6], f'{NAMES[6]},"A dog .', *lines[7:]])
    with refused(DatasetError, "captions.txt", "Line 8"):
        read_dataset(tmp_path)


@pytest.mark.parametrize("header", ["image", "pictures,caption", "name,comment", '"image,caption"', "\0"])
def test_other_columns_are_refused(tmp_path, header):
    path = write_kaggle(tmp_path, [])
    path.write_text("\n".join([header, *(f"{name},A dog ." for name in NAMES)]))
    with refused(DatasetError, "captions.txt", "image,caption"):
        read_dataset(tmp_path)


@pytest.mark.parametrize("header", ["caption,image", "image\tcaption"])
def test_columns_that_are_not_where_the_first_line_has_them_are_refused(tmp_path, header):
    path = write_kaggle(tmp_path, [])
    path.write_text("\n".join([header, *(f"{name},A dog ." for name in NAMES)]))
    with refused(DatasetError, tmp_path.name):
        read_dataset(tmp_path)


def test_lines_that_lack_a_column_are_left_out(tmp_path):
    write_kaggle(
        tmp_path, [NAMES[0], "", ",", f"{NAMES[1]},", f",{CAPTION}", *(f"{name},A dog ." for name in NAMES[2:])]
    )
    assert captions_of(tmp_path) == dict.fromkeys(NAMES[2:], ("A dog .",))


@pytest.mark.parametrize(
    "captions",
    [
        "",
        "\n\n\n",
        "photo0.jpg A dog .\n",
        "photo0.jpg#0 A dog .\n",
        "\t\t\t\n",
        "#0\tA dog .\n",
        "\udcff\udcfe\udcc3\n",
    ],
    ids=["empty", "empty lines", "no tab", "spaces for tabs", "tabs alone", "no name", "no text"],
)
def test_a_published_file_without_sense_is_refused(tmp_path, captions):
    write_published(tmp_path, captions)
    with refused(DatasetError, "Flickr8k"):
        read_dataset(tmp_path)


def test_names_that_lead_out_of_the_folder_are_no_photos_of_it(tmp_path):
    data, secret = tmp_path / "data", tmp_path / "secret.jpg"
    make_photos(tmp_path, [secret.name])
    names = [str(secret), "../../secret.jpg", "../Images/../../secret.jpg", "x/../../../secret.jpg"]
    write_kaggle(data, [f"{name},A secret ." for name in names] + [f"{name},A dog ." for name in NAMES])
    assert set(captions_of(data)) == set(NAMES)
    assert read_dataset(data).without_photo == len(names)
    (data / "captions.txt").unlink()
    images = [{"filename": name, "split": "train", "sentences": [{"raw": "A secret."}]} for name in names]
    images.append({"filename": secret.name, "filepath": "..", "split": "train", "sentences": [{"raw": "A secret."}]})
    (data / "dataset_flickr8k.json").write_text(json.dumps({"images": images}))
    with refused(DatasetError, "None of the photos"):
        read_dataset(data)


def test_names_that_no_file_can_have_are_left_out(tmp_path):
    names = [
        "a" * 5000 + ".jpg",
        "nul\0.jpg",
        "\ud800.jpg",
        "/",
        ".",
        "photo0.jpg/photo1.jpg",
        "x" * 100 + "/" + "y" * 9000,
    ]
    make_photos(tmp_path, NAMES[:1])
    images = [{"filename": name, "split": "train", "sentences": [{"raw": "A dog."}]} for name in [*names, NAMES[0]]]
    (tmp_path / "dataset_flickr8k.json").write_text(json.dumps({"images": images}))
    assert set(captions_of(tmp_path)) == set(NAMES[:1])
    assert read_dataset(tmp_path).without_photo == len(names)


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "dataset_flickr8k.json")
    (tmp_path / "dataset_coco.json").mkdir()
    with refused(DatasetError, "holds no captions"):
        read_dataset(tmp_path)
    write_kaggle(tmp_path, [f"{name},A dog ." for name in [*NAMES, "pipe.jpg", "folder.jpg"]])
    os.mkfifo(tmp_path / "Images" / "pipe.jpg")
    (tmp_path / "Images" / "folder.jpg").mkdir()
    assert set(captions_of(tmp_path)) == set(NAMES)


def write_million(folder: Path, layout: str) -> None:
    """A million captions of 200,000 photos, few of which are there."""
    names = [f"photo{number}.jpg" for number in range(LINES // 5)]
    captions = "".join(f"{name}#{number}\t{CAPTION}\n" for name in names for number in range(5))
    if layout == "kaggle":
        write_kaggle(folder, [f"{name},{CAPTION}" for name in names for _ in range(5)])
    else:
        # The photo that is listed twice comes last, where looking for it takes longest.
        listed = [name for name in names if name not in NAMES[1:3]]
        write_published(folder, captions, "\n".join([*listed, listed[-1]] if layout == "twice" else listed))


@pytest.mark.parametrize(("layout", "reported"), [("kaggle", "16"), ("published", "3"), ("twice", "photo199999.jpg")])
def test_a_million_captions_are_read_in_time_and_memory(tmp_path, layout, reported):
    write_million(tmp_path, layout)
    program = (
        "import sys; from captioning.data.datasets import *\n"
        "try: print(sum(map(len, read_dataset(sys.argv[1]).splits.values())))\n"
        "except DatasetError as error: print(error)"
    )
    limit = (MEMORY, MEMORY)
    started = time.monotonic()
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, limit),
    )
    assert time.monotonic() - started < SECONDS
    assert run.returncode == 0, run.stderr
    assert reported in run.stdout


@pytest.fixture
def listed(tmp_path) -> CaptionDataset:
    """A data set that is read, and one photo of each split gone since."""
    write_kaggle(tmp_path, [f"{name},A dog ." for name in NAMES])
    dataset = read_dataset(tmp_path)
    for split in SPLITS:
        dataset.split(split)[0].photo.unlink()
    return dataset


@pytest.mark.parametrize("blocks", [0, 2])
def test_a_photo_that_vanishes_before_it_is_trained_on_is_reported_by_name(listed, tmp_path, monkeypatch, blocks):
    """Both where its features are cached and where the encoder is trained too."""
    # Without Java on the path METEOR is left out, which takes longer than all the rest.
    monkeypatch.setenv("PATH", "/nowhere")
    places = {"output": tmp_path / "model.safetensors", "folder": tmp_path / "run", "cache": tmp_path / "cache"}
    run = RunSettings(data=(tmp_path,), **places, min_frequency=1, graphs=False)
    stage = StageSettings(epochs=1, batch_size=4, trained_blocks=blocks)
    training = TrainingRun([listed], TINY, {1: stage}, run)
    with refused(ImageError, ".jpg"):
        training.train()
    # Read again it is left out, and the next run goes through.
    again = replace(run, folder=tmp_path / "next", score_test=True)
    TrainingRun([read_dataset(tmp_path)], TINY, {1: stage}, again).train()
    assert len(read_info(run.output).training.datasets[0].scores["test"]) == 3


def test_a_photo_that_vanishes_before_it_is_scored_is_reported_by_name(listed, captioner):
    gone = listed.split("dev")[0].photo.name
    with refused(ImageError, gone):
        evaluate(captioner, listed.split("dev"), [1], SearchOptions())


def test_a_photo_that_vanishes_from_a_folder_does_not_stop_the_others(tmp_path, capsys):
    paths = make_photos(tmp_path / "photos", NAMES)
    job, output = Job(tmp_path / "photos", DEFAULT_CHECKPOINT, SearchOptions(beam_size=1)), tmp_path / "captions.csv"

    def engine(job: Job, photos: Sequence[str]) -> Iterator[list[Result]]:
        paths[3].unlink()
        return caption_with_threads(job, photos)

    assert caption_folder(job, output, engine) == 2
    assert paths[3].name in capsys.readouterr().err.splitlines()[-1]
    assert len(output.read_text().splitlines()) == len(NAMES)
