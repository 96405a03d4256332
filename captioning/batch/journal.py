"""The file of a folder's captions while it is made: rows are kept as they come, and the file appears whole at the end.

Beside `captions.csv`, `captions.csv.partial.jsonl` is the journal: a row a line, added whole, removed when
`captions.csv` is written. What a crash leaves of a line has no line feed at its end; the next run drops it.
`captions.csv.run.json` is the fingerprint: what the rows were made with, so that rows of different runs are not mixed.
It stays, and is locked while a run is at work.
"""

import errno
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO

from captioning.batch.write import FORMATS, Row, RowError, read_json_lines, to_json_line, whole_lines
from captioning.errors import CaptioningError
from captioning.files import changed, is_no_file, load_fingerprint, lock, replacing


class Journal:
    """The rows of a `.csv`, `.jsonl` or `.parquet` file, as a context; one process at a time has it.

    Args:
        path: where the rows are to be. Rows that are in the file already stay in it, before the new ones.
        fingerprint: what rows depend on besides their photos.

    Attributes:
        partial: the journal itself.
        photos: those that have a row.

    Raises:
        CaptioningError: the name has another suffix; or, on entering, the file cannot be written, holds anything but
            rows with the same fingerprint, or is being written by another process.
    """

    def __init__(self, path: Path, fingerprint: dict):
        if path.suffix.lower() not in FORMATS:
            raise CaptioningError(f"{path} is not a file for captions: let its name end with {', '.join(FORMATS)}.")
        self.path, self._fingerprint = path, fingerprint
        self.partial = path.with_name(f"{path.name}.partial.jsonl")
        self._noted = path.with_name(f"{path.name}.run.json")
        self._format = FORMATS[path.suffix.lower()]

    def __enter__(self) -> "Journal":
        for path in (self.path, self.partial, self._noted):
            if is_no_file(path):
                raise CaptioningError(f"{path} exists and is not a file: name another file.")
        try:
            with ExitStack() as opened:
                self._check_fingerprint(opened)
                self._file = opened.enter_context(self.partial.open("a+b", buffering=0))
                self._read_photos()
                self._opened = opened.pop_all()
        except OSError as error:
            raise self._refusal(error) from None
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def append(self, rows: Iterable[Row]) -> None:
        """Keep rows.

        Raises:
            CaptioningError: they cannot be written; the journal is as it was.
        """
        lines = b"".join(map(to_json_line, rows))
        try:
            _write(self._file, lines)
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(self._end)
            raise self._refusal(error) from None
        self._end += len(lines)

    def finish(self) -> None:
        """Write the file, where there are new rows or there is none yet, and remove the journal.

        Raises:
            CaptioningError: the file cannot be written; the journal stays.
        """
        try:
            if self._end or not _is_begun(self.path):
                with replacing(self.path) as temporary, temporary.open("wb") as file:
                    self._format.write(file, self._rows())
            # Before, for Windows removes no file that is open.
            self._file.close()
            self.partial.unlink()
        except OSError as error:
            raise self._refusal(error) from None

    def _check_fingerprint(self, opened: ExitStack) -> None:
        """Lock the fingerprint, and see that the rows have it; where there are none yet, write it."""
        if self._has_rows() and not self._noted.exists():
            raise self._unknown()
        # Read by the handle that has the lock: Windows lets no other read the file.
        noted = opened.enter_context(self._noted.open("a+b", buffering=0))
        if not lock(noted):
            raise CaptioningError(f"Another run is writing {self.path}: wait for it, or name another file.")
        if not self._has_rows():
            noted.truncate(0)
            _write(noted, json.dumps(self._fingerprint, indent=2).encode())
            return
        noted.seek(0)
        try:
            begun_with = load_fingerprint(noted.read())
        except ValueError:
            raise self._unknown() from None
        if not self._fingerprint.keys() <= begun_with.keys():
            raise self._unknown()
        for name in changed(begun_with, self._fingerprint):
            raise CaptioningError(
                f"{self.path} was begun with another {name} ({begun_with[name]}, not {self._fingerprint[name]}): name "
                "another file, or give the same as then."
            )

    def _has_rows(self) -> bool:
        return _is_begun(self.path) or _is_begun(self.partial)

    def _read_photos(self) -> None:
        """Find which photos have a row, and drop what a crash left of a line."""
        self._finished = {row.photo for row in self._read(self.path, self._format.read)}
        self.photos = self._finished | {row.photo for row in self._read(self.partial, read_json_lines)}
        with self.partial.open("rb") as lines:
            self._end = sum(map(len, whole_lines(lines)))
        self._file.truncate(self._end)

    def _rows(self) -> Iterator[Row]:
        """Those of the file, then those of the journal that it lacks: after a crash at the end it has them all."""
        yield from self._read(self.path, self._format.read)
        yield from (row for row in self._read(self.partial, read_json_lines) if row.photo not in self._finished)

    def _read(self, path: Path, read: Callable[[BinaryIO], Iterator[Row]]) -> Iterator[Row]:
        if not _is_begun(path):
            return
        with path.open("rb") as file:
            try:
                yield from read(file)
            except RowError as error:
                raise CaptioningError(
                    f"{path} has a line that is not a caption ({error}): correct it, or name another file."
                ) from None

    def _unknown(self) -> CaptioningError:
        return CaptioningError(
            f"{self.path} exists, and {self._noted.name} does not say all that made it: name another file."
        )

    def _refusal(self, error: OSError) -> CaptioningError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return CaptioningError(f"The disk with {self.path} is full: free space, and the same command continues.")
        reason = os.strerror(error.errno) if error.errno else str(error)
        return CaptioningError(f"{self.path} cannot be written ({reason}): name another file.")


def _is_begun(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _write(file: BinaryIO, data: bytes) -> None:
    """All of it; a file without a buffer may take less at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
