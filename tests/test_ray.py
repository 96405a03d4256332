"""A folder captioned with Ray, for real: two workers on this machine, one of them killed."""

import shutil
import subprocess
import sys
import time
from functools import partial

import psutil
import pytest

from captioning.__main__ import main
from captioning.batch.write import read_json_lines
from tests.conftest import ROOT
from tests.helpers import make_photos

pytest.importorskip("ray", reason="Ray is not installed: pip install -r requirements-ray.txt")


@pytest.fixture
def command(run_main):
    """Runs `python -m captioning caption` with arguments."""
    return partial(run_main, main, "caption")


@pytest.mark.slow
def test_a_killed_worker_loses_nothing(command, tmp_path):
    """The rows, their order and what cannot be read are as without Ray."""
    folder, output, without = tmp_path / "photos", tmp_path / "captions.jsonl", tmp_path / "without.jsonl"
    make_photos(folder, [f"{number:03}.png" for number in range(160)])
    (folder / "100.png").write_bytes(b"")
    call = [folder, "--beam-size", "1", "--output"]
    run = subprocess.Popen(
        [sys.executable, "-m", "captioning", "caption", *call, output, "--engine", "ray", "--workers", "2"],
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    partial = tmp_path / "captions.jsonl.partial.jsonl"
    while run.poll() is None and not (partial.exists() and partial.stat().st_size):
        time.sleep(0.05)
    workers = [process for process in psutil.Process(run.pid).children(recursive=True) if "MapWorker" in process.name()]
    workers[0].kill()
    err = run.communicate()[1]
    assert run.returncode == 2
    assert err.splitlines()[-1] == "100.png is empty: choose another photo."
    assert "Traceback" not in err
    assert command(*call, without)[0] == 2
    rows, others = (list(read_json_lines(path.open("rb"))) for path in (output, without))
    assert len(rows) == 159
    assert [(row.photo, row.caption) for row in rows] == [(row.photo, row.caption) for row in others]
    assert [row.log_probability for row in rows] == pytest.approx([row.log_probability for row in others], abs=1e-3)


def test_a_cluster_that_does_not_answer_is_named(command, photos, tmp_path):
    shutil.copy(photos / "coffee.jpg", tmp_path)
    for address in ("127.0.0.1:1", "nowhere"):
        code, _, err = command(tmp_path, "--output", tmp_path / "out.csv", "--engine", "ray", "--address", address)
        assert code == 2
        assert err.splitlines()[-1].startswith(f"No Ray cluster answers at {address}:")
