"""How much memory this process may take, and how glibc keeps it; on other systems the latter changes nothing."""

import ctypes
import os
from contextlib import suppress
from functools import cache
from pathlib import Path

# Parameters of mallopt, from glibc's malloc.h.
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
# Where Linux keeps control groups, and says which this process is in.
_GROUPS, _OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


@cache
def allowed_bytes() -> float:
    """The least of what the machine has and of what the container and the process may take; infinite if unknown."""
    return min([*_machine(), *_container(), *_process()], default=float("inf"))


def share_one_heap() -> None:
    """Have all threads share one heap; left to itself, glibc keeps up to eight a core, each with what it once took."""
    _call_glibc("mallopt", _M_ARENA_MAX, 1)


def give_back_blocks(size: int) -> None:
    """Give blocks of this many bytes or more back to the system when they are freed."""
    _call_glibc("mallopt", _M_MMAP_THRESHOLD, size)


def give_back_free_memory() -> None:
    """Give back to the system what is free now, of which glibc keeps much: 20 MB after a model is loaded."""
    _call_glibc("malloc_trim", 0)


def _machine() -> list[int]:
    try:
        return [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    except (AttributeError, OSError, ValueError):
        return []


def _container() -> list[int]:
    """The limits of control groups, version 2 and 1: the process's own, and the outermost that it sees."""
    groups = {_GROUPS / "memory.max", _GROUPS / "memory" / "memory.limit_in_bytes"}
    with suppress(OSError, ValueError):
        for line in _OWN_GROUPS.read_text(encoding="utf-8").splitlines():
            _, controllers, place = line.split(":", 2)
            if not controllers:
                groups.add(_GROUPS / place.lstrip("/") / "memory.max")
            elif "memory" in controllers.split(","):
                groups.add(_GROUPS / "memory" / place.lstrip("/") / "memory.limit_in_bytes")
    limits = []
    for group in groups:
        # Without a limit the file says `max`.
        with suppress(OSError, ValueError):
            limits.append(int(group.read_text(encoding="ascii")))
    return limits


def _process() -> list[int]:
    try:
        import resource
    except ImportError:
        return []
    limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    return [limit for limit in limits if limit != resource.RLIM_INFINITY]


def _call_glibc(function: str, *arguments: int) -> None:
    with suppress(AttributeError, OSError, TypeError):
        getattr(ctypes.CDLL(None), function)(*arguments)
