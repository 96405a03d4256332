"""Rows of captions, and the kinds of file that hold them: comma-separated values, JSON lines, Parquet."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, astuple, dataclass, fields
from itertools import islice
from typing import BinaryIO, NamedTuple

PARQUET_COLUMNS = (("photo", "string"), ("caption", "string"), ("log_probability", "double"))
# Rows of a Parquet file that are in memory at a time.
GROUP_SIZE = 65_536


@dataclass(frozen=True)
class Row:
    """A photo's caption.

    Attributes:
        photo: path relative to the folder, with `/`.
        caption: its words.
        log_probability: of the caption, in nats, to four decimals; what lies beyond depends on the photos that it was
            captioned together with.
    """

    photo: str
    caption: str
    log_probability: float


class RowError(Exception):
    """Something in a file is not a row; the message quotes it."""


class Format(NamedTuple):
    """A kind of file that holds rows.

    Attributes:
        read: the rows of a file that is open in binary mode, one after the other. Raises RowError.
        write: writes rows into a file that is open in binary mode.
    """

    read: Callable[[BinaryIO], Iterator[Row]]
    write: Callable[[BinaryIO, Iterable[Row]], None]


def whole_lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file; what a crash left of the last one has no line feed and is left out."""
    return (line for line in file if line.endswith(b"\n"))


def to_json_line(row: Row) -> bytes:
    """The row as a JSON object, with a line feed."""
    return (json.dumps(asdict(row), ensure_ascii=False) + "\n").encode()


def read_json_lines(file: BinaryIO) -> Iterator[Row]:
    for line in whole_lines(file):
        try:
            yield _checked(**json.loads(line))
        except (TypeError, ValueError, RecursionError):
            raise RowError(_quoted(line)) from None


def write_json_lines(file: BinaryIO, rows: Iterable[Row]) -> None:
    file.writelines(map(to_json_line, rows))


def read_csv(file: BinaryIO) -> Iterator[Row]:
    for number, line in enumerate(whole_lines(file)):
        try:
            [values] = csv.reader([line.decode()], strict=True)
            if number:
                photo, caption, log_probability = values
                yield _checked(photo, caption, float(log_probability))
            elif values != [field.name for field in fields(Row)]:
                raise ValueError("other columns")
        except (ValueError, csv.Error):
            raise RowError(_quoted(line)) from None


def write_csv(file: BinaryIO, rows: Iterable[Row]) -> None:
    """Values are quoted as in RFC 4180; lines end with a line feed alone."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(field.name for field in fields(Row))
    lines.writerows(map(astuple, rows))
    text.detach()


def read_parquet(file: BinaryIO) -> Iterator[Row]:
    # Here, so that the other formats do not wait for it.
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(file) as table:
            if table.schema_arrow != pyarrow.schema(PARQUET_COLUMNS):
                raise pyarrow.ArrowInvalid("other columns")
            for batch in table.iter_batches(GROUP_SIZE):
                yield from (Row(**columns) for columns in batch.to_pylist())
    except (OSError, pyarrow.ArrowException):
        raise RowError("the whole file") from None


def write_parquet(file: BinaryIO, rows: Iterable[Row]) -> None:
    import pyarrow
    from pyarrow import parquet

    rows, schema = iter(rows), pyarrow.schema(PARQUET_COLUMNS)
    with parquet.ParquetWriter(file, schema) as writer:
        while group := [asdict(row) for row in islice(rows, GROUP_SIZE)]:
            writer.write_table(pyarrow.Table.from_pylist(group, schema))


FORMATS = {
    ".csv": Format(read_csv, write_csv),
    ".jsonl": Format(read_json_lines, write_json_lines),
    ".parquet": Format(read_parquet, write_parquet),
}


def _checked(photo: object, caption: object, log_probability: object) -> Row:
    if not (isinstance(photo, str) and isinstance(caption, str) and isinstance(log_probability, float)):
        raise TypeError("a row has two strings and a number")
    return Row(photo, caption, log_probability)


def _quoted(line: bytes) -> str:
    return repr(line[:60].decode(errors="replace").strip())
