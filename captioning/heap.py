"""How glibc keeps the memory of a process with threads; elsewhere than on glibc nothing here changes anything."""

import ctypes
from contextlib import suppress

# Parameters of mallopt, from glibc's malloc.h.
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8


def share_one_heap() -> None:
    """Have all threads share one heap; left to itself, glibc keeps up to eight a core, each with what it once took."""
    _set(_M_ARENA_MAX, 1)


def give_back_blocks(size: int) -> None:
    """Give blocks of this many bytes or more back to the system when they are freed."""
    _set(_M_MMAP_THRESHOLD, size)


def _set(parameter: int, value: int) -> None:
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(parameter, value)
