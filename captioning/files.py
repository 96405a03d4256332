"""Writing files so that nothing that was there is lost."""

import os
from contextlib import suppress
from pathlib import Path

from captioning.errors import CaptioningError


def write_whole(path: Path, data: bytes) -> None:
    """Write a file; it appears whole under its name, or what was there stays.

    Raises:
        CaptioningError: it cannot be written there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        raise CaptioningError(f"{path} cannot be written ({error.strerror}): name another file.") from None
    finally:
        with suppress(OSError):
            temporary.unlink()
