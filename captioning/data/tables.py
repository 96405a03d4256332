"""Captions in tables: a CSV, a TSV or JSON lines whose columns name the photo, a caption and perhaps the split."""

import codecs
import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

from captioning.errors import DatasetError, shown

# Names of the columns, in lower case; the first are those to recommend.
PHOTO_COLUMNS = ("image", "file_name", "photo", "filename", "image_name")
CAPTION_COLUMNS = ("caption", "text", "comment")
DELIMITERS = (",", "\t", ";", "|")
# What a split may be called.
SPLIT_NAMES = {
    **dict.fromkeys(("train", "restval"), "train"),
    **dict.fromkeys(("dev", "val", "valid", "validation"), "dev"),
    "test": "test",
}


class Row(NamedTuple):
    """A photo's name, one of its captions, and its split if the table has any."""

    photo: str
    caption: str
    split: str | None


class Columns(NamedTuple):
    """The places of the columns in a row; that of the split is None where there is none."""

    photo: int
    caption: int
    split: int | None


def read_table(path: Path) -> Iterator[Row]:
    """The rows of a table; those that lack a photo or a caption are left out.

    Raises:
        DatasetError: the columns are not there, or a line is not as it must be.
    """
    rows = _read_json_lines(path) if path.suffix.lower() == ".jsonl" else _read_cells(path)
    return (row for row in rows if row.photo and row.caption)


def open_text(path: Path) -> TextIO:
    """The text of a file, in UTF-8 or in the UTF-16 that spreadsheets write, which begins with a mark of its own."""
    with path.open("rb") as file:
        mark = file.read(2)
    encoding = "utf-16" if mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    return path.open(encoding=encoding, errors="replace")


def known_split(name: object, place: str) -> str:
    """The split of this name, in any case.

    Raises:
        DatasetError: there is none.
    """
    split = SPLIT_NAMES.get(str(name).strip().lower())
    if split is None:
        raise DatasetError(f"{place} names the split {shown(name)!r}: write one of {', '.join(SPLIT_NAMES)}.")
    return split


def _read_cells(path: Path) -> Iterator[Row]:
    with open_text(path) as lines:
        header = lines.readline()
    delimiter, columns, width = _columns(path, header)
    lines = _lines(path, delimiter)
    next(lines)
    for number, cells in enumerate(lines, start=2):
        if len(cells) > width:
            cells = _joined(path, number, cells, columns, width, delimiter)
        if len(cells) > max(columns.photo, columns.caption):
            split = None
            if columns.split is not None:
                split = known_split("".join(cells[columns.split : columns.split + 1]), f"Line {number} of {path}")
            yield Row(_name(cells[columns.photo]), cells[columns.caption].strip(), split)


def _columns(path: Path, header: str) -> tuple[str, Columns, int]:
    """The delimiter, where the columns are, and how many there are in all."""
    for delimiter in DELIMITERS:
        try:
            cells = [cell.strip().lower() for cell in next(csv.reader([header], delimiter=delimiter), [])]
        except csv.Error:
            continue
        photo, caption = _place(cells, PHOTO_COLUMNS), _place(cells, CAPTION_COLUMNS)
        if photo is not None and caption is not None:
            return delimiter, Columns(photo, caption, _place(cells, ("split",))), len(cells)
    raise DatasetError(
        f"{path} does not begin with the columns image,caption ({' or '.join(PHOTO_COLUMNS)}, and "
        f"{' or '.join(CAPTION_COLUMNS)}): name its columns in its first line."
    )


def _place(cells: Sequence[str], names: Sequence[str]) -> int | None:
    return next((cells.index(name) for name in names if name in cells), None)


def _lines(path: Path, delimiter: str) -> Iterator[list[str]]:
    # Flickr30k's table, which has this delimiter, has quotes that are never closed.
    quoting = csv.QUOTE_NONE if delimiter == "|" else csv.QUOTE_MINIMAL
    try:
        with open_text(path) as lines:
            reader = csv.reader(lines, delimiter=delimiter, quoting=quoting)
            for number, row in enumerate(reader, start=1):
                # The lines that a quote takes in would be lost without a word.
                if reader.line_num > number:
                    raise DatasetError(f"Line {number} of {path} does not end all its quotes: close them.")
                yield row
    except csv.Error as error:
        raise DatasetError(f"{path} is not a CSV file ({error}): download it again.") from None


def _joined(path: Path, line: int, cells: list[str], columns: Columns, width: int, delimiter: str) -> list[str]:
    """The cells of a line whose caption was written without quotes, though it has delimiters."""
    if columns.caption != width - 1:
        raise DatasetError(f"Line {line} of {path} has more cells than columns: put its caption in quotes.")
    return [*cells[: columns.caption], delimiter.join(cells[columns.caption :])]


def _read_json_lines(path: Path) -> Iterator[Row]:
    with open_text(path) as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield from _json_row(line, f"Line {number} of {path}")


def _json_row(line: str, place: str) -> Iterator[Row]:
    """A row for each caption of a line: there may be one, or a list of them."""
    try:
        values = {name.lower(): value for name, value in json.loads(line).items()}
    except (ValueError, AttributeError, RecursionError):
        raise DatasetError(f'{place} is not like {{"file_name": "1.jpg", "text": "A dog."}}: write it so.') from None
    photo = next((values[name] for name in PHOTO_COLUMNS if name in values), None)
    captions = next((values[name] for name in CAPTION_COLUMNS if name in values), None)
    captions = [captions] if isinstance(captions, str) else captions
    if not isinstance(photo, str) or not isinstance(captions, list) or not all(isinstance(c, str) for c in captions):
        raise DatasetError(f'{place} is not like {{"file_name": "1.jpg", "text": "A dog."}}: write it so.')
    split = known_split(values["split"], place) if "split" in values else None
    yield from (Row(_name(photo), caption.strip(), split) for caption in captions)


def _name(cell: str) -> str:
    """A photo's name; Windows writes its folders with other strokes."""
    return cell.strip().replace("\\", "/")
