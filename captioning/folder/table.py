"""A `.parquet` file of a folder's captions, which cannot grow: new rows wait in `FILE.partial.jsonl` for the last."""

from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import pyarrow
from pyarrow import parquet

from captioning.errors import CaptioningError
from captioning.files import replacing
from captioning.folder.results import Results
from captioning.folder.rows import JsonLines, Row

SCHEMA = pyarrow.schema(
    [("photo", pyarrow.string()), ("caption", pyarrow.string()), ("log_probability", pyarrow.float64())]
)
# Rows that are in memory at a time.
GROUP = 65_536


class Table(Results):
    """As `Results`; the file itself appears, whole, with `finish`, and is replaced when there are more rows."""

    def __init__(self, path: Path, made_with: dict):
        super().__init__(path, made_with)
        self._lines = path.with_name(f"{path.name}.partial.jsonl")
        self._format = JsonLines()

    def finish(self) -> None:
        """Make the table of its rows and those that wait.

        Raises:
            CaptioningError: it cannot be written; the rows still wait.
        """
        try:
            if self._end or not self.path.exists():
                self._write_table()
            # Before, for Windows removes no file that is open.
            self._file.close()
            self._lines.unlink(missing_ok=True)
        except OSError as error:
            raise self.refusal(error) from None

    def _begin(self) -> None:
        super()._begin()
        self._finished = self._read_table()
        self.photos |= self._finished

    def _is_begun(self) -> bool:
        return super()._is_begun() or self.path.exists()

    def _read_table(self) -> set[str]:
        """The photos that have a row in the table."""
        if not self.path.exists():
            return set()
        try:
            with parquet.ParquetFile(self.path) as table:
                if table.schema_arrow != SCHEMA:
                    raise pyarrow.ArrowInvalid("other columns")
                batches = table.iter_batches(GROUP, columns=["photo"])
                return {photo for batch in batches for photo in batch["photo"].to_pylist()}
        except (OSError, pyarrow.ArrowException):
            raise CaptioningError(f"{self.path} is no whole table of captions: name another file.") from None

    def _write_table(self) -> None:
        with replacing(self.path) as temporary, parquet.ParquetWriter(temporary, SCHEMA) as writer:
            if self._finished:
                with parquet.ParquetFile(self.path) as table:
                    for batch in table.iter_batches(GROUP):
                        writer.write_batch(batch)
            rows = self._waiting_rows()
            while group := [asdict(row) for row in islice(rows, GROUP)]:
                writer.write_table(pyarrow.Table.from_pylist(group, SCHEMA))

    def _waiting_rows(self) -> Iterator[Row]:
        """Rows that the table lacks; after a crash between its appearing and their removal it has them."""
        with self._open_lines() as lines:
            for line in lines:
                row = self._format.decode(line)
                if row.photo not in self._finished:
                    yield row
