"""The file of a folder's captions: rows are added as they come, and a file that was begun is gone on with.

Lines are added whole. What a crash leaves of one has no line feed at its end; the next run drops it. Beside the file,
`FILE.run.json` says what its rows were made with, so that rows of different runs are not mixed.
"""

import errno
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from captioning.errors import CaptioningError
from captioning.files import is_no_file, lock
from captioning.folder.rows import CommaSeparated, JsonLines, NoRowError, Row
from captioning.settings_note import changed, read_note, write_note


class Results:
    """A `.csv` or `.jsonl` file of rows, as a context; one process at a time has it.

    Args:
        path: where the rows are to be.
        made_with: what rows depend on besides their photos; a file that was begun with anything else is refused.

    Attributes:
        photos: those that have a row.

    Raises:
        CaptioningError: on entering, where the file cannot be written, holds anything but rows made with the same, or
            is being written by another process.
    """

    def __init__(self, path: Path, made_with: dict):
        self.path, self._made_with = path, made_with
        self._record = path.with_name(f"{path.name}.run.json")
        self._lines = path
        self._format = CommaSeparated() if path.suffix.lower() == ".csv" else JsonLines()

    def __enter__(self) -> "Results":
        if is_no_file(self._lines):
            raise CaptioningError(f"{self._lines} is there already and no file: name another file.")
        try:
            self._file = self._lines.open("a+b", buffering=0)
        except OSError as error:
            raise self.refusal(error) from None
        try:
            self._begin()
        except OSError as error:
            self._file.close()
            raise self.refusal(error) from None
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def append(self, rows: Iterable[Row]) -> None:
        """Add rows.

        Raises:
            CaptioningError: they cannot be written; the file is as it was.
        """
        self._write(b"".join(map(self._format.encode, rows)))

    def finish(self) -> None:
        """All rows are there: a file of lines is complete with them."""

    def refusal(self, error: OSError) -> CaptioningError:
        """What to say of a file that cannot be written."""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return CaptioningError(f"The disk with {self.path} is full: free space, and the same command goes on.")
        reason = os.strerror(error.errno) if error.errno else str(error)
        return CaptioningError(f"{self.path} cannot be written ({reason}): name another file.")

    def _begin(self) -> None:
        if not lock(self._file):
            raise CaptioningError(f"Another run is writing {self.path}: wait for it, or name another file.")
        if self._is_begun():
            self._check_record()
        else:
            write_note(self._record, self._made_with)
        self.photos, self._end = self._read_lines()
        if self._end < self._lines.stat().st_size:
            self._file.truncate(self._end)
        if not self._end:
            self._write(self._format.header)

    def _is_begun(self) -> bool:
        return self._lines.stat().st_size > 0

    def _check_record(self) -> None:
        try:
            begun_with = read_note(self._record)
        except (OSError, ValueError):
            begun_with = {}
        if not self._made_with.keys() <= begun_with.keys():
            raise CaptioningError(
                f"{self.path} is there already, and {self._record.name} does not say what made it: name another file."
            )
        for name in changed(begun_with, self._made_with):
            raise CaptioningError(
                f"{self.path} was begun with another {name} ({begun_with[name]}, not {self._made_with[name]}): name "
                "another file, or take the same as then."
            )

    def _read_lines(self) -> tuple[set[str], int]:
        """The photos that have a row, and where the last whole line ends."""
        photos, end = set(), 0
        with self._open_lines() as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                if end or not self._format.header:
                    photos.add(self._decode(line))
                elif line != self._format.header:
                    raise self._damaged(line)
                end += len(line)
        return photos, end

    def _open_lines(self) -> BinaryIO:
        """The lines from the first on, by the handle that has the lock: Windows lets no other read the file."""
        lines = os.fdopen(os.dup(self._file.fileno()), "rb")
        lines.seek(0)
        return lines

    def _decode(self, line: bytes) -> str:
        try:
            return self._format.decode(line).photo
        except NoRowError:
            raise self._damaged(line) from None

    def _damaged(self, line: bytes) -> CaptioningError:
        shown = line[:60].decode(errors="replace").strip()
        return CaptioningError(f"{self.path} has a line that is no caption ({shown!r}): mend it, or name another file.")

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(self._end)
            raise self.refusal(error) from None
        self._end += len(data)
