"""Photos from anywhere: whatever the bytes are, there is a photo or one sentence, in bounded time and memory."""

import io
import random
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator

import pytest
from PIL import Image, PngImagePlugin

from captioning import ImageError, open_image
from captioning.images import MAX_SIDE
from tests.browser import ROOT

SECONDS = 5
MEMORY = 600 * 2**20
WRITERS = {
    "JPEG": ["L", "RGB", "CMYK"],
    "PNG": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
    "WEBP": ["RGB", "RGBA"],
    "GIF": ["1", "L", "P", "RGB"],
    "TIFF": ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I", "I;16", "F"],
    "BMP": ["1", "L", "P", "RGB", "RGBA"],
}


@pytest.fixture(scope="module")
def sound(photos) -> dict[str, bytes]:
    """A real photo in every format and mode that Pillow writes."""
    with Image.open(photos / "astronaut.png") as opened:
        photo = opened.convert("RGB").resize((160, 120))
    return {f"{kind} {mode}": _saved(photo.convert(_through(mode)).convert(mode), kind)
            for kind, modes in WRITERS.items() for mode in modes}  # fmt: skip


def _through(mode: str) -> str:
    """A mode from which Pillow converts to this one."""
    return "L" if mode in ("I", "I;16", "F") else "RGB"


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _check(data: bytes) -> bool:
    """Open it as the program would; whether it is a photo."""
    started = time.process_time()
    photo, sentence = None, "."
    try:
        photo = open_image(data)
    except ImageError as error:
        sentence = str(error)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert time.process_time() - started < SECONDS
    if photo is not None:
        assert photo.mode == "RGB"
        assert 1 <= max(photo.size) <= MAX_SIDE
    return photo is not None


def test_every_mode_of_every_format_is_a_photo(sound):
    assert len(sound) == 33
    for name, data in sound.items():
        assert _check(data), name


def test_every_tenth_of_every_photo_is_one_or_is_refused(sound):
    found = [_check(data[: len(data) * tenth // 10]) for data in sound.values() for tenth in range(10)]
    assert len(found) == 330
    assert not any(found[::10])


@pytest.mark.parametrize("kind", WRITERS)
def test_flipped_bytes_give_a_photo_or_a_sentence(sound, kind):
    chance = random.Random(kind)
    data = sound[f"{kind} RGB"]
    for _ in range(60):
        damaged = bytearray(data)
        # Headers and tables stand at the beginning; damage there reaches the most code.
        reach = chance.choice([64, 1024, len(data)])
        for _ in range(chance.choice([1, 4, 32])):
            damaged[chance.randrange(min(reach, len(data)))] = chance.randrange(256)
        _check(bytes(damaged))


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _bombs() -> Iterator[bytes]:
    """Small files that claim or become large."""
    zeros = zlib.compress(bytes(64 * 2**20))
    png = b"\x89PNG\r\n\x1a\n"
    tiny = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    pixel = _chunk(b"IDAT", zlib.compress(b"\0\0")) + _chunk(b"IEND", b"")
    yield png + _chunk(b"IHDR", tiny) + _chunk(b"zTXt", b"Comment\0\0" + zeros) + pixel
    yield png + _chunk(b"IHDR", tiny) + _chunk(b"iCCP", b"profile\0\0" + zeros) + pixel
    yield png + _chunk(b"IHDR", tiny) + _chunk(b"eXIf", bytes(2**20)) + pixel
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "a" * 2**20, zip=True)
    yield _saved(Image.new("RGB", (8, 8)), "PNG", pnginfo=text)
    frames = [Image.new("L", (64, 64), shade % 256) for shade in range(2000)]
    yield _saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    yield _saved(frames[0], "TIFF", save_all=True, append_images=frames[1:200])
    for size in ((1, 1), (1, 60_000), (60_000, 1), (2, 2)):
        yield _saved(Image.new("RGB", size), "PNG")


def test_bombs_and_odd_sizes_stay_within_time():
    assert len([_check(data) for data in _bombs()]) == 10


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_the_largest_photo_that_is_allowed_stays_within_memory(tmp_path, mode):
    path = tmp_path / "large.png"
    Image.new(mode, (7_900, 8_000)).save(path, compress_level=1)
    # In a process of its own, for the memory that this one has had at most says nothing of a photo.
    script = (
        "import resource, sys; from captioning import open_image; peak = lambda: "
        "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; before = peak(); open_image(sys.argv[1]); "
        "print(peak() - before)"
    )
    run = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, cwd=ROOT, check=True)
    assert int(run.stdout) * 1024 < MEMORY


@pytest.mark.parametrize(
    "data",
    [b"", b"\0" * 4096, b"hello", b"<html><body>", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"GIF89a",
     b"\xff\xd8\xff", b"II*\0" + b"\xff" * 64, b"BM" + b"\xff" * 64, b"RIFF\xff\xff\xff\xffWEBPVP8 ",
     b"%PDF-1.7", b"PK\x03\x04"],
)  # fmt: skip
def test_what_is_no_photo_is_refused(data):
    assert not _check(data)
