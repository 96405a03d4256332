"""How the app's process keeps memory that is free."""

import ctypes
from contextlib import suppress

# Parameters of glibc's mallopt, from its malloc.h.
M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8
LARGE_BLOCK = 2**20


def give_memory_back() -> None:
    """Have all threads share one heap, and give large blocks back to the system when they are freed.

    Every run of a page is a thread of its own; left to itself, glibc keeps up to sixteen heaps for them, each with what
    the largest photo in it once took. Elsewhere than on glibc nothing is changed.
    """
    with suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_ARENA_MAX, 1)
        mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)
