"""Elsewhere than on Linux: nothing of ours needs its modules, its calls or /proc."""

import os
import subprocess
import sys

import pytest

from captioning.files import BLOCK, holding, lock, reserve
from tests.browser import ROOT
from tests.helpers import make_kaggle, make_photos


@pytest.mark.slow
def test_everything_runs_without_what_linux_alone_has(tmp_path):
    make_photos(tmp_path / "photos", ["a.png", "b.png"])
    (tmp_path / "data").mkdir()
    make_kaggle(tmp_path / "data")
    call = [sys.executable, "-X", "warn_default_encoding", ROOT / "tests" / "other_system.py", tmp_path]
    run = subprocess.run(call, capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    assert run.stdout.endswith("everything ran\n")
    rows = [(tmp_path / f"captions{suffix}").exists() for suffix in (".csv", ".jsonl", ".parquet")]
    assert all(rows)


@pytest.mark.parametrize("size", [0, 1, BLOCK, 3 * BLOCK + 5])
def test_room_is_reserved_without_the_systems_help(tmp_path, monkeypatch, size):
    monkeypatch.delattr(os, "posix_fallocate")
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.write(b"head"[:size])
        file.truncate(size)
    before = path.read_bytes()
    reserve(path)
    assert path.read_bytes() == before
    assert path.stat().st_blocks * 512 >= size


def test_a_lock_keeps_others_out_until_its_file_is_closed(tmp_path):
    with (tmp_path / "lock").open("ab") as first, (tmp_path / "lock").open("ab") as second:
        assert lock(first)
        assert not lock(second)
        first.close()
        assert lock(second)


def test_a_lock_ends_with_its_process(tmp_path):
    """`kill -9` leaves nothing that somebody would have to remove."""
    script = (
        "import sys, time; from pathlib import Path; from captioning.files import holding\n"
        "with holding(Path(sys.argv[1]), print):\n print('held', flush=True); time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", script, tmp_path], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    with (tmp_path / "lock").open("ab") as file:
        assert not lock(file)
    process.kill()
    process.wait()
    busy = []
    with holding(tmp_path, lambda: busy.append(True)):
        assert not busy
