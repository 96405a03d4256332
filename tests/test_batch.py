"""A folder captioned into a file: the same rows whatever happens on the way."""

import csv
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from pyarrow import parquet

from captioning import DEFAULT_CHECKPOINT, SearchOptions
from captioning.__main__ import main
from captioning.batch.journal import Journal
from captioning.batch.run import Job, caption_folder
from captioning.batch.threads import caption_with_threads
from captioning.batch.write import FORMATS, Row
from captioning.errors import CaptioningError
from tests.conftest import ROOT
from tests.helpers import make_photos, refused

FINGERPRINT = {"beam_size": 5}
ROWS = [Row(f'a, "{number}" ü.jpg', "a dog runs", -number / 8) for number in range(6)]


@pytest.fixture
def command(run_main):
    """Runs `python -m captioning caption` with arguments."""
    return partial(run_main, main, "caption")


def read_rows(path: Path) -> list[Row]:
    """The rows of a file, as libraries that people have read them."""
    if path.suffix == ".parquet":
        return [Row(**columns) for columns in parquet.read_table(path).to_pylist()]
    with path.open(encoding="utf-8", newline="") as file:
        found = csv.DictReader(file) if path.suffix == ".csv" else map(json.loads, file)
        return [Row(row["photo"], row["caption"], float(row["log_probability"])) for row in found]


def is_same(rows: list[Row], others: list[Row]) -> bool:
    """Whether photos and captions are equal, and log-probabilities but for what the size of a batch changes."""
    return [(row.photo, row.caption, pytest.approx(row.log_probability, abs=1e-3)) for row in rows] == [
        (row.photo, row.caption, row.log_probability) for row in others
    ]


@pytest.fixture
def folder(photos, tmp_path) -> Path:
    """Real photos, some in folders below, with names as people give them."""
    folder = tmp_path / "photos"
    (folder / "2024, summer" / "café").mkdir(parents=True)
    shutil.copy(photos / "astronaut.jpg", folder / 'an "astronaut", smiling.PNG')
    shutil.copy(photos / "rocket.jpg", folder / "2024, summer" / "rocket.jpg")
    shutil.copy(photos / "coffee.jpg", folder / "2024, summer" / "café" / "kaffee ☕.png")
    (folder / "link.png").symlink_to(photos / "chelsea.jpg")
    (folder / ".hidden.png").symlink_to(photos / "chelsea.jpg")
    (folder / "loop").symlink_to(folder)
    (folder / "notes.txt").write_text("no photo")
    return folder


NAMES = ["2024, summer/café/kaffee ☕.png", "2024, summer/rocket.jpg", 'an "astronaut", smiling.PNG', "link.png"]


@pytest.mark.parametrize("suffix", FORMATS)
def test_rows_are_the_captions_of_each_photo_alone(command, captioner, folder, tmp_path, suffix):
    output = tmp_path / f"captions{suffix}"
    code, out, _ = command(folder, "--output", output, "--beam-size", 3)
    assert (code, out) == (0, "")
    alone = [captioner(folder / name, SearchOptions(beam_size=3)) for name in NAMES]
    captions = [Row(name, caption.text, caption.log_probability) for name, caption in zip(NAMES, alone, strict=True)]
    assert is_same(read_rows(output), captions)


def test_what_cannot_be_read_is_listed_at_the_end_and_tried_again(command, folder, photos, tmp_path):
    (folder / "empty.jpg").touch()
    (folder / "cut.jpg").write_bytes((photos / "rocket.jpg").read_bytes()[:20_000])
    (folder / "text.gif").write_text("no photo at all")
    (folder / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "two\nlines.jpg").touch()
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.jpg")).touch()
    os.mkfifo(folder / "pipe.jpg")
    (folder / "folder.jpg").mkdir()
    output = tmp_path / "captions.csv"
    code, _, err = command(folder, "--output", output)
    assert code == 2
    assert [row.photo for row in read_rows(output)] == NAMES
    sentences = err.splitlines()[-6:]
    for sentence, name in zip(sentences, ["cut", "empty", "gone", "text", "two�lines", "�.jpg"], strict=True):
        assert name in sentence
        assert sentence.endswith(".")

    shutil.copy(photos / "astronaut.jpg", folder / "cut.jpg")
    code, _, err = command(folder, "--output", output)
    assert code == 2
    assert [row.photo for row in read_rows(output)] == [*NAMES, "cut.jpg"]
    assert "cut.jpg" not in err


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_journal_cut_anywhere_is_continued(tmp_path, suffix):
    """Wherever a crash cuts a line, the rows before it stay and nothing of it does."""
    path = tmp_path / f"captions{suffix}"
    with Journal(path, FINGERPRINT) as journal:
        journal.append(ROWS)
        partial = journal.partial
    written = partial.read_bytes()
    for length in range(0, len(written), 7):
        partial.write_bytes(written[:length])
        with Journal(path, FINGERPRINT) as journal:
            count = len(journal.photos)
            assert journal.photos == {row.photo for row in ROWS[:count]}
            assert count == written[:length].count(b"\n")
            journal.append(ROWS[count:])
        assert partial.read_bytes() == written
        assert not path.exists()


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_file_is_whole_or_not_there(tmp_path, suffix):
    """Also where the run ended after the file had appeared and before the journal was removed."""
    path = tmp_path / f"captions{suffix}"
    with Journal(path, FINGERPRINT) as journal:
        journal.append(ROWS[:4])
        partial = journal.partial
    assert not path.exists()
    lines = partial.read_bytes()
    with Journal(path, FINGERPRINT) as journal:
        assert journal.photos == {row.photo for row in ROWS[:4]}
        journal.finish()
    assert read_rows(path) == ROWS[:4]
    assert not partial.exists()

    partial.write_bytes(lines)
    with Journal(path, FINGERPRINT) as journal:
        assert journal.photos == {row.photo for row in ROWS[:4]}
        journal.append(ROWS[4:])
        assert read_rows(path) == ROWS[:4]
        journal.finish()
    assert read_rows(path) == ROWS


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_run_without_new_rows_leaves_the_file_alone(tmp_path, suffix):
    path = tmp_path / f"captions{suffix}"
    with Journal(path, FINGERPRINT) as journal:
        journal.append(ROWS)
        journal.finish()
    before = path.stat()
    with Journal(path, FINGERPRINT) as journal:
        journal.finish()
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_file_that_an_earlier_version_left_unfinished_is_continued(tmp_path, suffix):
    """That version added rows to the file itself; what it left of a line is dropped."""
    whole = tmp_path / f"whole{suffix}"
    with Journal(whole, FINGERPRINT) as journal:
        journal.append(ROWS)
        journal.finish()
    written = whole.read_bytes()
    for length in range(0, len(written), 11):
        whole.write_bytes(written[:length])
        with Journal(whole, FINGERPRINT) as journal:
            count = len(journal.photos)
            assert journal.photos == {row.photo for row in ROWS[:count]}
            journal.append(ROWS[count:])
            journal.finish()
        assert whole.read_bytes() == written


def test_a_write_that_fails_leaves_whole_rows(tmp_path):
    path = tmp_path / "captions.csv"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Journal(path, FINGERPRINT) as journal:
        journal.append(ROWS[:2])
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (journal.partial.stat().st_size + 50, before[1]))
            with refused(CaptioningError, "captions.csv"):
                journal.append(ROWS[2:])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert read_rows(journal.partial) == ROWS[:2]
        journal.append(ROWS[2:])
        journal.finish()
    assert read_rows(path) == ROWS


def test_rows_of_another_run_are_neither_mixed_nor_overwritten(command, folder, tmp_path):
    output, other = tmp_path / "captions.jsonl", tmp_path / "other"
    make_photos(other, ["link.png"])
    assert command(folder, "--output", output)[0] == 0
    foreign = tmp_path / "foreign.csv"
    foreign.write_text("photo,caption\nlink.png,a cat\n")
    edited = tmp_path / "edited.jsonl"
    edited.write_bytes(output.read_bytes() + b'{"photo": "more.png"}\n')
    shutil.copy(f"{output}.run.json", f"{edited}.run.json")
    refusals = {
        (folder, "--output", output, "--beam-size", 2): "beam_size",
        (folder, "--output", output, "--length-penalty", 0): "length_penalty",
        (other, "--output", output): "folder",
        (folder, "--output", foreign): "run.json",
        (folder, "--output", edited): "more.png",
        (folder, "--output", tmp_path / "captions.txt"): ".parquet",
        (folder, "--output", folder): ".csv",
        (folder, "--output", tmp_path / "nowhere" / "captions.csv"): "No such file",
        (tmp_path / "nowhere", "--output", output): "nowhere",
        (tmp_path / "other", folder, "--output", output): "one folder",
        (folder,): "--output",
    }
    before = {path: path.read_bytes() for path in (output, foreign, edited)}
    for arguments, naming in refusals.items():
        code, out, err = command(*arguments)
        assert (code, out) == (2, ""), arguments
        assert err.count("\n") == 1, arguments
        assert naming in err, arguments
    assert {path: path.read_bytes() for path in before} == before
    assert not Path(f"{foreign}.run.json").exists()


def test_a_fingerprint_that_was_cut_matters_where_there_are_rows(tmp_path):
    """Where a full disk or a kill cut it, no row was written yet."""
    path, noted = tmp_path / "captions.csv", tmp_path / "captions.csv.run.json"
    with Journal(path, FINGERPRINT):
        written = noted.read_bytes()
    for length in range(len(written)):
        noted.write_bytes(written[:length])
        with Journal(path, FINGERPRINT):
            assert noted.read_bytes() == written
    with Journal(path, FINGERPRINT) as journal:
        journal.append(ROWS)
    for length in range(len(written)):
        noted.write_bytes(written[:length])
        with refused(CaptioningError, "captions.csv", "run.json"), Journal(path, FINGERPRINT):
            pass
    assert read_rows(journal.partial) == ROWS


def test_one_process_at_a_time_writes_a_file(tmp_path):
    path = tmp_path / "captions.csv"
    with Journal(path, FINGERPRINT), refused(CaptioningError, "Another run"), Journal(path, FINGERPRINT):
        pass


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    """A folder with several batches."""
    folder = tmp_path_factory.mktemp("many")
    make_photos(folder, [f"{number:03}.png" for number in range(200)])
    return folder


@pytest.fixture(scope="module")
def undisturbed(many, tmp_path_factory) -> list[Row]:
    """The rows of a run that was left alone."""
    output = tmp_path_factory.mktemp("undisturbed") / "captions.jsonl"
    job = Job(many, DEFAULT_CHECKPOINT, SearchOptions(beam_size=1))
    assert caption_folder(job, output, caption_with_threads) == 0
    return read_rows(output)


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "seed"), [(".csv", 1), (".parquet", 2)])
def test_killed_and_interrupted_it_continues(command, many, undisturbed, tmp_path, suffix, seed):
    """Killed, interrupted and continued, a run gives the rows of one that was left alone."""
    moments = random.Random(seed)
    output = tmp_path / f"captions{suffix}"
    growing = tmp_path / f"captions{suffix}.partial.jsonl"
    # One worker, so that it is at work for a while.
    call = [many, "--beam-size", "1", "--workers", "1", "--output"]
    size = 100
    for signal_number in (signal.SIGKILL, signal.SIGINT):
        run = subprocess.Popen(
            [sys.executable, "-m", "captioning", "caption", *call, output], cwd=ROOT, stderr=subprocess.PIPE, text=True,
            # What the tests themselves are run by in the background may have them ignore Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        while run.poll() is None and not (growing.exists() and growing.stat().st_size > size):
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.2))
        run.send_signal(signal_number)
        err = run.communicate()[1]
        size = growing.stat().st_size
    assert run.returncode == 130
    assert err.endswith("the same command continues from there.\n")
    assert command(*call, output)[0] == 0
    assert len(read_rows(output)) == 200
    assert is_same(read_rows(output), undisturbed)
