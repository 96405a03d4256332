"""Disks that are full or read-only, several processes at one place, and `kill -9`: what was complete stays so.

Disks are small file systems in memory, mounted for a test.
"""

import csv
import io
import itertools
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import train as train_command
from captioning.__main__ import main
from captioning.batch.write import Row, read_json_lines
from captioning.checkpoint import list_checkpoints
from captioning.data.features import cached_features
from captioning.errors import CheckpointError, DatasetError
from captioning.model.model import CaptioningModel, load_model, save_model
from captioning.record import TrainingRecord
from captioning.vocabulary import SPECIAL_TOKENS, Vocabulary
from tests.helpers import make_kaggle, make_photos, refused, tiny_model
from tests.processes import Child, command
from tests.test_batch import is_same, read_rows
from tests.test_features import counted
from tests.test_training import SIZES

VOCABULARY = Vocabulary([*SPECIAL_TOKENS, *"a dog runs over the green grass with".split()])
# A state after every step, so that a kill costs no more than one.
FLAGS = ["--epochs", "2", "--save-every", "0"]
STAGE_TWO = ["--stage2-epochs", "1", "--stage2-batch-size", "4", "--trained-blocks", "2"]
pytestmark = [pytest.mark.hostile, pytest.mark.usefixtures("one_thread")]


def fill_cache(folder: Path, photos: list[Path]) -> None:
    """Cache features, and print how many photos were encoded for it."""
    model = tiny_model()
    with counted(model.encoder) as seen:
        cached_features(folder, model, photos, mirror=True)
    print(sum(seen))


def save_tiny(path: Path, seed: int) -> None:
    save_model(path, tiny_model(seed=seed), VOCABULARY, TrainingRecord(seed=seed))


def caption_photos(folder: Path, checkpoint: Path, output: Path) -> int:
    return command(main, "caption", folder, "--checkpoint", checkpoint, "--beam-size", 1, "--output", output)


def train(data: Path, folder: Path, *flags: object, stages: Sequence[int] = (1, 2)) -> int:
    """Train in a folder of its own, and go on where that was begun."""
    flags = ("--stages", *stages, *(STAGE_TWO if 2 in stages else ()), *flags)
    places = ["--output", folder / "model.safetensors", "--run", folder / "run", "--cache", folder / "cache"]
    resume = ["--resume"] if list(folder.glob("run/stage*.ckpt")) else []
    return command(train_command.main, "--data", data, *places, *SIZES, *FLAGS, *flags, *resume)


def train_stage_one(data: Path, folder: Path, *flags: object) -> int:
    return train(data, folder, *flags, stages=(1,))


@pytest.fixture
def start(tmp_path) -> Iterator[Callable[..., Child]]:
    """Starts work in a process."""
    children = []

    def start(work: Callable[..., int | None], *arguments: object) -> Child:
        children.append(Child(tmp_path / f"process{len(children)}.log", work, *arguments))
        return children[-1]

    yield start
    for child in children:
        child.kill()


def through(child: Child) -> float:
    """The seconds that a child took, which went through."""
    started = time.monotonic()
    code, said = child.end()
    assert code == 0, said
    return time.monotonic() - started


def in_one_sentence(child: Child) -> str:
    """What a child that was refused said is wrong."""
    code, said = child.end()
    sentence = said.splitlines()[-1]
    assert code == 2, said
    assert "Traceback" not in said
    assert sentence.endswith("."), said
    return sentence


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> list[Path]:
    return make_photos(tmp_path_factory.mktemp("photos"), [f"{number:03}.png" for number in range(150)])


@pytest.fixture(scope="module")
def features(photos, tmp_path_factory) -> np.ndarray:
    """What a cache of the first 40 photos holds."""
    return np.array(cached_features(tmp_path_factory.mktemp("features"), tiny_model(), photos[:40], mirror=True))


def is_close(features: np.ndarray, others: np.ndarray) -> bool:
    """Whether features are equal, but for what batches of other sizes round another way."""
    return np.allclose(features, others, rtol=2e-3, atol=2e-3)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors"
    save_tiny(path, 0)
    return path


@pytest.fixture(scope="module")
def rows(photos, checkpoint, tmp_path_factory) -> list[Row]:
    """The captions of all photos, by a run that was left alone."""
    folder = tmp_path_factory.mktemp("rows")
    through(Child(folder / "log", caption_photos, photos[0].parent, checkpoint, folder / "rows.jsonl"))
    return read_rows(folder / "rows.jsonl")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return make_kaggle(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory) -> tuple[Path, float]:
    """The folder of a training that was left alone, and the seconds that it took."""
    folder = tmp_path_factory.mktemp("trained")
    return folder, through(Child(folder / "log", train, data, folder))


def is_same_model(path: Path, other: Path) -> bool:
    first, second = (load_model(each)[0].state_dict() for each in (path, other))
    return all(torch.equal(first[name], second[name]) for name in first)


def seed_of(path: Path) -> int:
    """Which of `save_tiny`'s models a file holds, whole."""
    model, info = load_model(path)
    expected: CaptioningModel = tiny_model(seed=info.training.seed)
    assert all(
        torch.allclose(tensor, expected.state_dict()[name], rtol=1e-3, atol=1e-6)
        for name, tensor in model.state_dict().items()
    )
    return info.training.seed


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    """A disk of 100 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", place]
    mounted = subprocess.run(mounting, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"mounting is not permitted: {mounted.stderr.strip()}")
    yield place
    # Lazily, for an array may still be mapped from a file on it.
    subprocess.run(["umount", "--lazy", place], check=True)


def fill(disk: Path, left: int) -> Path:
    """Leave no more than so many bytes free on a disk; the file that takes the rest."""
    ballast, free = disk / "ballast", os.statvfs(disk)
    # Others may be writing.
    with ballast.open("ab", buffering=0) as file, suppress(OSError):
        file.write(bytes(max(0, free.f_bavail * free.f_bsize - left)))
    return ballast


@pytest.mark.parametrize("left", [0, 20_000, 200_000])
def test_a_feature_cache_finds_its_disk_full(disk, photos, features, left):
    ballast = fill(disk, left)
    with refused(DatasetError, str(disk), "No space left", "--cache"):
        cached_features(disk / "cache", tiny_model(), photos[:40], mirror=True)
    assert not list(disk.rglob("*.npy"))
    ballast.unlink()
    assert is_close(cached_features(disk / "cache", tiny_model(), photos[:40], mirror=True), features)


@pytest.mark.parametrize("left", [0, 100, 5_000_000])
def test_a_checkpoint_finds_its_disk_full(disk, left):
    path = disk / "model.safetensors"
    save_tiny(path, 0)
    ballast = fill(disk, left)
    with refused(CheckpointError, str(path), "No space left"):
        save_tiny(path, 1)
    assert seed_of(path) == 0
    assert sorted(disk.iterdir()) == [ballast, path]
    ballast.unlink()
    save_tiny(path, 1)
    assert seed_of(path) == 1


def test_an_export_finds_its_disk_full(disk, photos, checkpoint, run_main):
    outputs = [disk / f"caption.{kind}" for kind in ("gif", "png", "html", "json")]
    for output in outputs:
        output.write_text("what was there")
    ballast = fill(disk, 0)
    for output in outputs:
        arguments = ["--checkpoint", checkpoint, "--format", output.suffix[1:], "-o", output]
        code, out, error = run_main(main, "export", photos[0], *arguments)
        assert (code, out, error.count("\n")) == (2, "", 1)
        assert "No space left" in error
        assert output.read_text() == "what was there"
    assert sorted(disk.iterdir()) == sorted([ballast, *outputs])


def test_an_evaluation_whose_captions_find_no_room_still_tells_its_scores(disk, data, checkpoint, start):
    fill(disk, 0)
    flags = ["--data", data, "--checkpoint", checkpoint, "--beam-size", 1, "--results", disk / "results.json"]
    child = start(command, main, "evaluate", *flags)
    assert "No space left" in in_one_sentence(child)
    assert "bleu4" in child.log.read_text()
    assert [path.name for path in disk.iterdir()] == ["ballast"]


@pytest.mark.parametrize(
    ("suffix", "left"), [(".csv", 0), (".csv", 8192), (".csv", 36864), (".jsonl", 8192), (".parquet", 36864)]
)
def test_a_folder_run_finds_its_disk_full(disk, photos, checkpoint, rows, start, suffix, left):
    """At its fingerprint, at its rows and, where most is left, at the file alone."""
    output = disk / f"captions{suffix}"
    ballast = fill(disk, left)
    assert output.name in in_one_sentence(start(caption_photos, photos[0].parent, checkpoint, output))
    assert not output.exists()
    assert (len(kept_rows(output)) == len(rows)) == (left == 36864)
    ballast.unlink()
    through(start(caption_photos, photos[0].parent, checkpoint, output))
    assert is_same(read_rows(output), rows)


@pytest.mark.parametrize(("seen", "left"), [("lock", 0), ("stage1.ckpt", 0), ("stage1.ckpt", 10_000_000)])
def test_a_training_finds_its_disk_full(disk, data, trained, start, seen, left):
    child = start(train_stage_one, data, disk)
    while not (disk / "run" / seen).exists():
        assert child.alive, child.end()
    while child.alive:
        fill(disk, left)
        time.sleep(0.01)
    assert "No space left" in in_one_sentence(child)
    check_run(disk / "run")
    assert not list(disk.glob("run/.*"))
    (disk / "ballast").unlink()
    if seen == "stage1.ckpt":
        # Room for the state that is being written; the one that is resumed has its own already.
        fill(disk, 50_000_000)
    through(start(train_stage_one, data, disk))
    assert is_same_model(disk / "model.safetensors", trained[0] / "run" / "stage1.safetensors")


def test_a_read_only_disk_is_refused_and_what_is_on_it_is_read(disk, data, photos, features, checkpoint, run_main):
    cached_features(disk / "cache", tiny_model(), photos[:40], mirror=True)
    make_photos(disk / "photos", ["0.png"])
    shutil.copytree(data, disk / "data")
    before = sorted(disk.rglob("*"))
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)

    with refused(DatasetError, str(disk), "Read-only"):
        cached_features(disk / "cache", tiny_model(), photos[:3], mirror=True)
    with refused(CheckpointError, str(disk), "Read-only"):
        save_tiny(disk / "model.safetensors", 0)
    photo, shared = disk / "photos" / "0.png", ["--checkpoint", checkpoint, "--beam-size", 1]
    elsewhere = {"--output": disk.parent / "model.safetensors", "--run": disk.parent / "run", "--cache": disk.parent}
    commands = [
        [main, "export", photo, *shared, "--format", "json", "-o", disk / "caption.json"],
        [main, "caption", disk / "photos", *shared, "--output", disk / "captions.csv"],
        [main, "caption", disk / "photos", *shared, "--output", disk / "captions.parquet"],
    ]
    for flag, place in elsewhere.items():
        places = elsewhere | {flag: disk / place.name}
        commands.append([train_command.main, "--data", disk / "data", *itertools.chain(*places.items()), *SIZES])
    for run, *arguments in commands:
        code, out, error = run_main(run, *arguments)
        assert code == 2, (arguments, out)
        assert "Read-only" in error.splitlines()[-1]
        assert "Traceback" not in error
    assert sorted(disk.rglob("*")) == before

    assert is_close(cached_features(disk / "cache", tiny_model(), photos[:40], mirror=True), features)
    assert run_main(main, "caption", disk / "photos", *shared, "--output", disk.parent / "captions.csv")[0] == 0


def test_processes_that_fill_one_cache_encode_each_photo_once(photos, features, tmp_path, start):
    children = [start(fill_cache, tmp_path / "cache", photos[:40]) for _ in range(3)]
    said = [child.end()[1] for child in children]
    assert sum(int(text.splitlines()[-1]) for text in said) == 2 * 40
    assert is_close(cached_features(tmp_path / "cache", tiny_model(), photos[:40], mirror=True), features)


def test_a_process_that_waits_for_a_cache_goes_on_with_it_when_the_other_is_killed(photos, tmp_path, start):
    first = start(fill_cache, tmp_path / "cache", photos)
    while not any(np.load(path).any() for path in tmp_path.glob("cache/*/done.npy")):
        assert first.alive
    second = start(fill_cache, tmp_path / "cache", photos)
    while "waiting for it" not in second.log.read_text():
        assert first.alive
    assert first.kill()
    code, said = second.end()
    assert code == 0, said
    assert 0 < int(said.splitlines()[-1]) < 2 * len(photos)
    undisturbed = cached_features(tmp_path / "other", tiny_model(), photos, mirror=True)
    assert is_close(cached_features(tmp_path / "cache", tiny_model(), photos, mirror=True), undisturbed)


def test_trainings_at_once_share_a_cache_but_no_folder(data, trained, tmp_path, start):
    """Two in one folder and one beside them, all on one cache."""
    cache = ["--cache", tmp_path / "cache"]
    inside = [start(train, data, tmp_path / "one", *cache) for _ in range(2)]
    beside = start(train, data, tmp_path / "two", *cache)
    refusal = min(inside, key=lambda child: child.end()[0] == 0)
    assert "Another run is writing to" in in_one_sentence(refusal)
    through(next(child for child in inside if child is not refusal))
    through(beside)
    for folder in ("one", "two"):
        assert is_same_model(tmp_path / folder / "model.safetensors", trained[0] / "model.safetensors")


def test_a_checkpoint_that_another_training_wrote_meanwhile_is_kept(data, tmp_path, start):
    output = tmp_path / "model.safetensors"
    child = start(train_stage_one, data, tmp_path)
    while not (tmp_path / "run" / "stage1.ckpt").exists():
        assert child.alive, child.end()
    save_tiny(output, 7)
    assert str(output) in in_one_sentence(child)
    assert seed_of(output) == 7
    through(start(train_stage_one, data, tmp_path, "--output", tmp_path / "other.safetensors"))


def test_caching_killed_at_fifteen_moments(photos, features, tmp_path, start):
    seconds = through(start(fill_cache, tmp_path / "whole", photos[:40]))
    moments, killed = random.Random(1), 0
    while killed < 15:
        folder = tmp_path / f"cache{moments.random()}"
        killed += start(fill_cache, folder, photos[:40]).kill(moments.uniform(0, seconds))
        there = sum(check_cache(place, features) for place in folder.glob("*"))
        model = tiny_model()
        with counted(model.encoder) as seen:
            assert is_close(cached_features(folder, model, photos[:40], mirror=True), features)
        assert sum(seen) == 2 * (40 - there)
        assert not list(folder.glob("*/.*"))


def check_cache(place: Path, features: np.ndarray) -> int:
    """The photos that a cache says it holds, and does."""
    if not (place / "done.npy").exists():
        return 0
    done = np.load(place / "done.npy") == 1
    assert is_close(np.load(place / "features.npy")[done], features[done])
    return done.sum()


def test_checkpoint_writing_killed_at_fifteen_moments(tmp_path, start):
    path = tmp_path / "model.safetensors"
    save_tiny(path, 0)
    seconds = through(start(save_tiny, tmp_path / "other.safetensors", 1))
    moments, killed, before = random.Random(2), 0, 0
    while killed < 15:
        killed += start(save_tiny, path, before + 1).kill(moments.uniform(0, seconds))
        before, last = seed_of(path), before
        assert before in (last, last + 1)
        assert list_checkpoints(tmp_path) == [path, tmp_path / "other.safetensors"]
    save_tiny(path, before + 1)
    assert seed_of(path) == before + 1


def test_training_killed_at_six_moments_equals_one_that_was_not(data, trained, tmp_path, start):
    undisturbed, seconds = trained
    moments, killed, steps = random.Random(3), 0, {}
    folders = (tmp_path / str(number) for number in itertools.count())
    folder = next(folders)
    while killed < 6:
        killed += start(train, data, folder).kill(moments.uniform(0, seconds))
        before, steps = steps, check_run(folder / "run")
        assert all(steps[stage] >= before[stage] for stage in before)
        if (folder / "model.safetensors").exists():
            assert is_same_model(folder / "model.safetensors", undisturbed / "model.safetensors")
            folder, steps = next(folders), {}
    through(start(train, data, folder))
    assert is_same_model(folder / "model.safetensors", undisturbed / "model.safetensors")
    assert not list(folder.glob("run/.*"))


def check_run(folder: Path) -> dict[str, int]:
    """See that every file of a run is whole; the steps that each stage's state has been through."""
    for path in list_checkpoints(folder):
        load_model(path)
    for path in folder.glob("[!.]*.png"):
        Image.open(path).load()
    for path in folder.glob("[!.]*.csv"):
        assert all(None not in row.values() for row in csv.DictReader(path.read_text().splitlines()))
    return {path.stem: torch.load(path, weights_only=True)["global_step"] for path in folder.glob("stage*.ckpt")}


def test_a_folder_run_killed_at_ten_moments(photos, checkpoint, rows, tmp_path, start):
    whole = tmp_path / "whole.csv"
    seconds = through(start(caption_photos, photos[0].parent, checkpoint, whole))
    moments, killed, there = random.Random(4), 0, 0
    outputs = (tmp_path / f"{number}{suffix}" for number in itertools.count() for suffix in (".csv", ".parquet"))
    output = next(outputs)
    while killed < 10:
        killed += start(caption_photos, photos[0].parent, checkpoint, output).kill(moments.uniform(0, seconds))
        before, there = there, check_rows(output, rows)
        assert there >= before
        if there == len(rows):
            output, there = next(outputs), 0
    for path in tmp_path.glob("?.*[vt]"):
        through(start(caption_photos, photos[0].parent, checkpoint, path))
        assert is_same(read_rows(path), rows)


def check_rows(output: Path, rows: list[Row]) -> int:
    """See that the rows of a file that was begun are the first of these; their number."""
    found = read_rows(output) if output.exists() else kept_rows(output)
    assert is_same(found, rows[: len(found)])
    return len(found)


def kept_rows(output: Path) -> list[Row]:
    """The rows in a file's journal."""
    journal = output.with_name(f"{output.name}.partial.jsonl")
    return list(read_json_lines(io.BytesIO(journal.read_bytes()))) if journal.exists() else []
