"""How much memory this process may take."""

import os
from contextlib import suppress
from functools import cache
from pathlib import Path

# Where Linux says what a container may take, in version 2 and 1 of control groups.
_CONTAINER = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


@cache
def allowed_bytes() -> float:
    """The least of what the machine has and of what the container and the process may take; infinite if unknown."""
    return min([*_machine(), *_container(), *_process()], default=float("inf"))


def _machine() -> list[int]:
    try:
        return [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    except (AttributeError, OSError, ValueError):
        return []


def _container() -> list[int]:
    limits = []
    for path in _CONTAINER:
        # Without a limit the file says `max`.
        with suppress(OSError, ValueError):
            limits.append(int(path.read_text(encoding="ascii")))
    return limits


def _process() -> list[int]:
    try:
        import resource
    except ImportError:
        return []
    limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    return [limit for limit in limits if limit != resource.RLIM_INFINITY]
