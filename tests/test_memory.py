"""Where little memory is allowed, the largest photo is smaller, and what is refused says why."""

import subprocess
import sys

import pytest

from captioning import memory
from tests.browser import ROOT

pytest.importorskip("resource")
MIB = 2**20
# Limits itself, then opens a photo of as many megapixels as are asked for.
SCRIPT = """
import io, resource, sys
limit, megapixels = int(sys.argv[1]), int(sys.argv[2])
from PIL import Image
from captioning import ImageError, open_image
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
file = io.BytesIO()
# One bit a pixel, so that the file is made in the memory that is left.
Image.new("1", (1000, 1000 * megapixels)).save(file, sys.argv[3])
try:
    print(open_image(file.getvalue(), "photo").size)
except ImageError as error:
    print(error)
"""


def opened(limit: int, megapixels: int, kind: str = "PNG") -> str:
    """What became of a photo in a process of its own with a limit of memory."""
    call = [sys.executable, "-c", SCRIPT, str(limit), str(megapixels), kind]
    run = subprocess.run(call, capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def test_with_600_megabytes_the_largest_photo_is_a_quarter_and_the_message_says_why():
    assert opened(600 * MIB, 16).startswith("(")
    assert opened(600 * MIB, 18) == (
        "photo has more than 17 megapixels, for which there is too little memory here: save it smaller and try again."
    )


def test_readers_that_keep_copies_have_the_same_share_of_their_own_limit():
    assert opened(600 * MIB, 8, "TIFF").startswith("(")
    assert "8 megapixels, for which there is too little memory" in opened(600 * MIB, 10, "TIFF")


@pytest.mark.parametrize(
    ("own", "files"),
    [
        ("0::/\n", {"memory.max": "629145600\n"}),
        ("0::/app.slice/app\n", {"memory.max": "max\n", "app.slice/app/memory.max": "629145600\n"}),
        ("4:memory:/docker/1\n2:cpu:/\n", {"memory/memory.limit_in_bytes": "629145600\n"}),
        ("4:cpu,memory:/job\n0::/\n", {"memory/job/memory.limit_in_bytes": "629145600\n"}),
    ],
)
def test_the_limit_of_a_container_is_found(tmp_path, monkeypatch, own, files):
    for name, text in files.items():
        path = tmp_path / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "own").write_text(own)
    monkeypatch.setattr(memory, "_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(memory, "_OWN_GROUPS", tmp_path / "own")
    assert memory.allowed_bytes.__wrapped__() == 600 * MIB


def test_with_enough_memory_the_limit_is_the_usual_one():
    assert opened(2400 * MIB, 63).startswith("(")
    message = opened(2400 * MIB, 65)
    assert "64 megapixels" in message
    assert "memory" not in message
