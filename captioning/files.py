"""Files that appear whole under their name, or not at all; folders that one process at a time writes in; fingerprints.

The fingerprint of a file is another when the file has been replaced or written to. The fingerprint of a run is a JSON
object with the settings that it was begun with; it lies beside what is made, which is continued with the same settings
or not at all.
"""

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO

from filelock import lock_descriptor

from captioning.errors import CaptioningError

BLOCK = 2**20


@dataclass(frozen=True)
class FileFingerprint:
    """A file as it was at a time: its place, its inode, its bytes, and when it was last written to (nanoseconds)."""

    path: Path
    inode: int
    size: int
    modified: int


def file_fingerprint(path: Path) -> FileFingerprint:
    """The fingerprint of a file as it is now.

    Raises:
        OSError, ValueError: there is no such file.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise FileNotFoundError(f"{path} is not a file")
    return FileFingerprint(path, found.st_ino, found.st_size, found.st_mtime_ns)


def file_digest(path: Path) -> str:
    """SHA-256 of a file; one that has not changed since is read once.

    Raises:
        OSError, ValueError: it cannot be read.
    """
    return _digest_of(file_fingerprint(path))


@cache
def _digest_of(fingerprint: FileFingerprint) -> str:
    with fingerprint.path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`: what the block writes there takes its place when the block ends.

    If the block raises, what was at `path` stays as it was.

    Raises:
        OSError: the file cannot be written.
    """
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        # To be written to, which Windows asks for before it writes anything out.
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink()


def make_folder(folder: Path) -> None:
    """Make a folder, and those it lies in, unless there is one.

    Raises:
        CaptioningError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CaptioningError(f"The folder {folder} cannot be made ({error.strerror}): name another.") from None


def lock(file: BinaryIO) -> bool:
    """Whether no other process has locked this file; if so, this one has it until it is closed or the process ends."""
    return lock_descriptor(file.fileno(), blocking=False)


@contextmanager
def holding(folder: Path, busy: Callable[[], None]) -> Iterator[None]:
    """Keep other processes that ask for this folder out of it while the block runs; a lock ends with its process.

    What killed processes left in it under temporary names is removed.

    Args:
        folder: there must be one.
        busy: called where another process holds it; if it returns, that one is waited for.

    Raises:
        OSError: nothing can be written there.
    """
    with (folder / "lock").open("ab") as file:
        if not lock(file):
            busy()
            lock_descriptor(file.fileno())
        for leftover in folder.glob(".[0-9]*.*"):
            leftover.unlink(missing_ok=True)
        yield


def remedy(error: OSError) -> str:
    """What somebody can do where a file cannot be written, as part of a sentence."""
    if isinstance(error, IsADirectoryError):
        return f"remove the folder {error.filename2 or error.filename}"
    return "free space"


def reserve(path: Path) -> None:
    """Take from the disk now what a file of zeros will need, so that no later write to it finds the disk full.

    Raises:
        OSError: there is not so much room.
    """
    with path.open("r+b") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
            return
        while block := file.read(BLOCK):
            file.seek(-len(block), os.SEEK_CUR)
            file.write(block)


def is_no_file(path: Path | str) -> bool:
    """Whether something is there, but no file: a device would be replaced by one, and a named pipe waited for."""
    return os.path.exists(path) and not os.path.isfile(path)


def write_whole(path: Path, data: bytes) -> None:
    """Write what somebody asked to have as a file.

    Raises:
        CaptioningError: it cannot be written there.
    """
    if not path.name or is_no_file(path):
        raise CaptioningError(f"{path} is not a file: name another.")
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise CaptioningError(f"{path} cannot be written ({error.strerror}): name another file.") from None


def load_fingerprint(data: bytes) -> dict:
    """The settings in a fingerprint.

    Raises:
        ValueError: it is damaged.
    """
    try:
        return dict(json.loads(data))
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from None


def changed(fingerprint: dict, settings: dict) -> list[str]:
    """The names of the settings that have another value in the fingerprint."""
    return [name for name, value in settings.items() if name in fingerprint and fingerprint[name] != value]
