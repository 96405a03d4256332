"""The blocks that a photo's file is cut into, counted before its reader sees them.

Pillow reads the blocks of a JPEG, PNG, GIF or TIFF one by one, in Python; a small file can hold so many that it would
take minutes, or gigabytes. Files of other kinds are read in C, or within limits of Pillow's own.
"""

import re

# Far more than any camera or program writes: a large PNG has some thousand, a JPEG or GIF a few dozen.
MAX_BLOCKS = 10_000
# A progressive JPEG has some ten scans; each costs as much as the whole photo, and an empty one takes no room.
MAX_SCANS = 40
# EXIF has one segment, or a few; each is put behind the ones before it, which are copied whole.
MAX_EXIF = 40

# Of a JPEG's markers those that begin a segment, and the end of the picture; the others stand within its data.
_SEGMENT = re.compile(rb"\xff([\x01-\xcf\xd9-\xfe])")
_SCAN, _END, _EXIF = 0xDA, 0xD9, b"\xe1Exif"
_EXTENSION, _PICTURE = 0x21, 0x2C
# A TIFF's types of values that are text or bytes, and its tags that say where its blocks are, whatever their type.
_TEXT, _PLACES = (1, 2, 7), (273, 279, 324, 325)


def too_many_blocks(data: bytes) -> bool:
    """Whether a photo's file has more blocks than are worth reading."""
    if data.startswith(b"\xff\xd8"):
        return _jpeg_has_too_many(data)
    if data.startswith(b"\x89PNG"):
        return _png_has_too_many(data)
    if data.startswith((b"II", b"MM")):
        return _tiff_has_too_many(data)
    return data.startswith(b"GIF8") and _gif_has_too_many(data)


def _jpeg_has_too_many(data: bytes) -> bool:
    at, scans, steps, exif = 2, 0, 0, 0
    while (marker := _SEGMENT.search(data, at)) and marker[1][0] != _END:
        scans += marker[1][0] == _SCAN
        # The segment's length stands between its marker and its name.
        exif += marker[1] + data[marker.end() + 2 : marker.end() + 6] == _EXIF
        # Before the first scan bytes between segments are gone through one by one, too.
        steps += 1 if scans else 1 + marker.start() - at
        if scans > MAX_SCANS or steps > MAX_BLOCKS or exif > MAX_EXIF:
            return True
        at = marker.end() + max(2, int.from_bytes(data[marker.end() : marker.end() + 2]))
    return False


def _png_has_too_many(data: bytes) -> bool:
    at, profiles = 8, 0
    for _ in range(MAX_BLOCKS):
        if at + 8 > len(data):
            return False
        # Each is decompressed, and replaces the one before.
        profiles += data[at + 4 : at + 8] == b"iCCP"
        if profiles > 1:
            return True
        at += 12 + int.from_bytes(data[at : at + 4])
    return True


def _tiff_has_too_many(data: bytes) -> bool:
    """Count the values of each tag of the first picture, of which alone the photo is made."""

    def number(at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], "little" if data.startswith(b"II") else "big")

    # BigTIFF has the version 43, wider numbers, and more before them.
    big = 43 in data[2:4]
    at, size, wide = (number(8, 8), 8, 8) if big else (number(4, 4), 2, 4)
    tags = number(at, size)
    if tags > MAX_BLOCKS:
        return True
    for index in range(tags):
        entry = at + size + index * (4 + 2 * wide)
        tag, kind, count = number(entry, 2), number(entry + 2, 2), number(entry + 4, wide)
        if count > MAX_BLOCKS and (kind not in _TEXT or tag in _PLACES):
            return True
    return False


def _gif_has_too_many(data: bytes) -> bool:
    """Count up to the first picture, of which alone the photo is made."""
    colors = data[10] if len(data) > 10 else 0
    at = 13 + (3 * 2 ** (1 + (colors & 7)) if colors & 0x80 else 0)
    steps = 0
    while at < len(data) and data[at] != _PICTURE and steps < MAX_BLOCKS:
        steps += 1
        if data[at] == _EXTENSION:
            at += 2
            # Its parts are put together one by one, each time copied whole.
            while at < len(data) and data[at] and steps < MAX_BLOCKS:
                steps += 10
                at += 1 + data[at]
        at += 1
    return steps >= MAX_BLOCKS
