"""Photos that somebody might make who wants to see the program fall."""

import io
import random
import struct
import zlib
from collections.abc import Iterator

from PIL import Image, PngImagePlugin

from captioning.images import MAX_BYTES

WRITERS = {
    "JPEG": ["L", "RGB", "CMYK"],
    "PNG": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
    "WEBP": ["RGB", "RGBA"],
    "GIF": ["1", "L", "P", "RGB"],
    "TIFF": ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I", "I;16", "F"],
    "BMP": ["1", "L", "P", "RGB", "RGBA"],
    "AVIF": ["RGB", "RGBA"],
}
NAMES = [
    "../../../etc/passwd.jpg", "two\nlines.jpg", "nul\0byte.jpg", "\u202egpj.elbisrever.jpg", "x" * 300 + ".jpg",
    "<img src=x onerror=alert(1)>.jpg", "**bold** [link](http://localhost).jpg", "; rm -rf ~.jpg", "\udcff.jpg", ".jpg",
    "C:\\windows\\win.ini.jpg", "%2e%2e%2fpasswd.jpg", "'\"`.jpg", "\x1b[31mred.jpg", "日本語 ☕ é.jpg", " .jpg",
]  # fmt: skip
NO_PHOTOS = [
    b"", b"\0" * 4096, b"hello", b"<html><body>", b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    b"%PDF-1.7", b"PK\x03\x04",
    b"GIF89a", b"GIF89a" + b"\xff" * 99, b"\xff\xd8\xff", b"\xff\xd8" + b"\xff" * 999, b"II*\0" + b"\xff" * 64,
    b"BM" + b"\xff" * 64, b"RIFF\xff\xff\xff\xffWEBPVP8 ", b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n" + b"\xff" * 99,
    b"\0\0\0\x20ftypavif", b"%!PS-Adobe-3.0 EPSF-3.0",
]  # fmt: skip


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def in_every_mode(photo: Image.Image) -> dict[str, bytes]:
    """A photo in every format and mode that Pillow writes."""
    # Pillow converts to these from gray alone.
    gray = {"I", "I;16", "F"}
    return {
        f"{kind} {mode}": saved(photo.convert("L" if mode in gray else "RGB").convert(mode), kind)
        for kind, modes in WRITERS.items()
        for mode in modes
    }


def flipped(data: bytes, seed: str, count: int) -> Iterator[bytes]:
    """A file with bytes changed, most of them in headers and tables, where damage reaches the most code."""
    chance = random.Random(seed)
    for _ in range(count):
        damaged = bytearray(data)
        reach = chance.choice([64, 1024, len(data)])
        for _ in range(chance.choice([1, 4, 32])):
            damaged[chance.randrange(min(reach, len(data)))] = chance.randrange(256)
        yield bytes(damaged)


def bombs() -> dict[str, bytes]:
    """Small files that claim to be large or become it, and large ones that take long."""
    return {
        **_png_bombs(),
        **_jpeg_bombs(),
        **_tag_bombs(),
        **_run_length_bomb(),
        **_frame_bombs(),
        **_odd_sizes(),
    }


def largest() -> dict[str, bytes]:
    """Photos that are as large as they may be."""
    side = (7_900, 8_000)
    photos = {
        f"PNG {mode}": saved(Image.new(mode, side), "PNG", compress_level=1) for mode in ("1", "RGB", "RGBA", "I;16")
    }
    photos["PNG P transparent"] = saved(Image.new("P", side), "PNG", compress_level=1, transparency=0)
    photos["JPEG CMYK"] = saved(Image.new("CMYK", side), "JPEG")
    # Of readers that keep several copies.
    fewer = (5_600, 5_700)
    photos["TIFF F"] = saved(Image.new("F", fewer), "TIFF", compression="tiff_lzw")
    photos["WEBP RGBA"] = saved(Image.new("RGBA", fewer), "WEBP", method=0)
    photos["AVIF RGBA"] = saved(Image.new("RGBA", fewer), "AVIF", speed=10, subsampling="4:4:4")
    photos["JPEG CMYK progressive and long"] = saved(Image.new("CMYK", (60_000, 530)), "JPEG", progressive=True)
    photos["JPEG progressive"] = saved(Image.new("RGB", side), "JPEG", progressive=True, subsampling=0)
    return photos


def _chunk(name: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _png_bombs() -> dict[str, bytes]:
    head = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    tail = _chunk(b"IDAT", zlib.compress(b"\0\0")) + _chunk(b"IEND")
    zeros, few = zlib.compress(bytes(64 * 2**20)), zlib.compress(bytes(2**20), 9)
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "a" * 2**20, zip=True)
    profile = _chunk(b"iCCP", b"profile\0\0" + few)
    return {
        "PNG, 64 MB of text in 64 kB": head + _chunk(b"zTXt", b"Comment\0\0" + zeros) + tail,
        "PNG, 64 MB of profile in 64 kB": head + _chunk(b"iCCP", b"profile\0\0" + zeros) + tail,
        "PNG, many profiles": head + profile * (MAX_BYTES // len(profile) - 1) + tail,
        "PNG, many chunks": head + _chunk(b"tEXt", b"a\0") * (MAX_BYTES // 16) + tail,
        "PNG, a megabyte of EXIF": head + _chunk(b"eXIf", bytes(2**20)) + tail,
        "PNG, a megabyte of text": saved(Image.new("RGB", (8, 8)), "PNG", pnginfo=text),
    }


def _jpeg_bombs() -> dict[str, bytes]:
    sound = saved(Image.new("RGB", (64, 64)), "JPEG")
    scans = saved(Image.new("L", (7_800, 8_000)), "JPEG", progressive=True)
    last = scans[scans.rfind(b"\xff\xda") : -2]
    exif = b"\xff\xe1\x80\x00Exif\0\0II*\0\x08\0\0\0" + b"\xff" * (0x8000 - 2 - 14)
    return {
        "JPEG, many comments": sound[:2] + b"\xff\xfe\0\x02" * (MAX_BYTES // 4 - 999) + sound[2:],
        "JPEG, much filling": sound[:2] + b"\xff" * (MAX_BYTES - 9999) + sound[2:],
        "JPEG, much EXIF": sound[:2] + exif * 900 + sound[2:],
        "JPEG, as much EXIF as is read": sound[:2] + exif * 40 + sound[2:],
        "JPEG, thousands of scans": scans[:-2] + last * 4000 + scans[-2:],
        "JPEG, as many scans as are read": scans[:-2] + last * 30 + scans[-2:],
    }


def _tiff(kind: int, count: int, tag: int = 273) -> bytes:
    """A TIFF of 16 × 16 pixels, one of whose tags has this many values of a type."""
    size = {1: 1, 3: 2, 4: 4}[kind]
    pixels, values = bytes(256), (8).to_bytes(size, "little") * count
    tags = {
        256: (3, 1, 16), 257: (3, 1, 16), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 273: (4, 1, 8),
        277: (3, 1, 1), 278: (3, 1, 1), 279: (4, 1, 256), tag: (kind, count, 8 + len(pixels)),
    }  # fmt: skip
    entries = b"".join(struct.pack("<HHLL", number, *entry) for number, entry in sorted(tags.items()))
    start = 8 + len(pixels) + len(values)
    return b"II*\0" + struct.pack("<L", start) + pixels + values + struct.pack("<H", len(tags)) + entries + bytes(4)


def _tag_bombs() -> dict[str, bytes]:
    orientation = _tiff(3, MAX_BYTES // 2 - 999, 274)
    png = saved(Image.new("RGB", (8, 8)), "PNG")
    return {
        "TIFF, many strips as bytes": _tiff(1, MAX_BYTES - 999),
        "TIFF, many strips": _tiff(4, MAX_BYTES // 4 - 999),
        "TIFF, many orientations": orientation,
        "TIFF, as many strips as are read": _tiff(4, 10_000),
        "PNG, EXIF of many orientations": png[:33] + _chunk(b"eXIf", orientation) + png[33:],
    }


def _run_length_bomb() -> dict[str, bytes]:
    data, palette = b"\1\5\0\0", bytes(4 * 256)
    start = 54 + len(palette)
    sizes = struct.pack("<LllHHLLllLL", 40, 64_000_000, 1, 1, 8, 1, len(data), 1, 1, 256, 0)
    return {"BMP, a run and an end": b"BM" + struct.pack("<LHHL", start + 4, 0, 0, start) + sizes + palette + data}


def _frame_bombs() -> dict[str, bytes]:
    frames = [Image.new("L", (64, 64), shade % 256) for shade in range(2000)]
    gif = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    # Behind the table of colours.
    start = 13 + 3 * 2 ** (1 + (gif[10] & 7))
    part = b"\xff" + b"a" * 255
    return {
        "GIF, 2,000 frames": gif,
        "TIFF, 200 pages": saved(frames[0], "TIFF", save_all=True, append_images=frames[1:200]),
        "GIF, many comments": gif[:start] + b"!\xfe\0" * (MAX_BYTES // 4) + gif[start:],
        "GIF, a long comment": gif[:start] + b"!\xfe" + part * (MAX_BYTES // 300) + b"\0" + gif[start:],
        "GIF, zeros before the picture": gif[:start] + bytes(MAX_BYTES // 2) + gif[start:],
    }


def _odd_sizes() -> dict[str, bytes]:
    sizes = [(1, 1), (2, 2), (1, 60_000), (60_000, 1), (3, 20_000)]
    kinds = {"PNG": "RGBA", "TIFF": "F", "BMP": "1", "JPEG": "CMYK", "GIF": "P"}
    return {
        f"{kind}, {width} × {height}": saved(Image.new(mode, (width, height)), kind)
        for width, height in sizes
        for kind, mode in kinds.items()
    }
