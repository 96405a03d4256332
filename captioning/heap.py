"""How glibc keeps the memory of a process with threads; elsewhere than on glibc nothing here changes anything."""

import ctypes
from contextlib import suppress

# Parameters of mallopt, from glibc's malloc.h.
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8


def share_one_heap() -> None:
    """Have all threads share one heap; left to itself, glibc keeps up to eight a core, each with what it once took."""
    _call("mallopt", _M_ARENA_MAX, 1)


def give_back_blocks(size: int) -> None:
    """Give blocks of this many bytes or more back to the system when they are freed."""
    _call("mallopt", _M_MMAP_THRESHOLD, size)


def give_back_free_memory() -> None:
    """Give back to the system what is free now, of which glibc keeps much: 20 MB after a model is loaded."""
    _call("malloc_trim", 0)


def _call(function: str, *arguments: int) -> None:
    with suppress(AttributeError, OSError, TypeError):
        getattr(ctypes.CDLL(None), function)(*arguments)
