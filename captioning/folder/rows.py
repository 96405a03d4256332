"""What a folder's photos come to, and rows as lines of text."""

import csv
import io
import json
from dataclasses import asdict, dataclass, fields


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


@dataclass(frozen=True)
class Failure:
    """A photo that got no caption.

    Attributes:
        photo: path relative to the folder.
        reason: one sentence.
    """

    photo: str
    reason: str


Result = Row | Failure
COLUMNS = tuple(field.name for field in fields(Row))


class NoRowError(Exception):
    """A line that holds no row."""


class JsonLines:
    """A row is a JSON object on a line of its own."""

    header = b""

    def encode(self, row: Row) -> bytes:
        """The line, with its line feed."""
        return (json.dumps(asdict(row), ensure_ascii=False) + "\n").encode()

    def decode(self, line: bytes) -> Row:
        """The row of a line.

        Raises:
            NoRowError: it holds none.
        """
        try:
            return _checked(**json.loads(line))
        except (TypeError, ValueError, RecursionError) as error:
            raise NoRowError from error


class CommaSeparated:
    """A row is a line of comma-separated values, quoted as in RFC 4180."""

    header = (",".join(COLUMNS) + "\n").encode()

    def encode(self, row: Row) -> bytes:
        """The line, with its line feed."""
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(asdict(row).values())
        return line.getvalue().encode()

    def decode(self, line: bytes) -> Row:
        """The row of a line.

        Raises:
            NoRowError: it holds none.
        """
        try:
            [[photo, caption, log_probability]] = csv.reader([line.decode()], strict=True)
            return _checked(photo, caption, float(log_probability))
        except (ValueError, csv.Error) as error:
            raise NoRowError from error


def _checked(photo: object, caption: object, log_probability: object) -> Row:
    if not (isinstance(photo, str) and isinstance(caption, str) and isinstance(log_probability, float)):
        raise TypeError("a row has two strings and a number")
    return Row(photo, caption, log_probability)
