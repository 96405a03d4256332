"""Files that appear whole under their name, or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from captioning.errors import CaptioningError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`: what the block writes there takes its place when the block is through.

    If the block raises, what was at `path` stays as it was.

    Raises:
        OSError: the file cannot be written.
    """
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_whole(path: Path, data: bytes) -> None:
    """Write what somebody asked to have as a file.

    Raises:
        CaptioningError: it cannot be written there.
    """
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise CaptioningError(f"{path} cannot be written ({error.strerror}): name another file.") from None
