"""Settings of the app's process, which all sessions share."""

import gc
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from starlette.formparsers import MultiPartParser

from captioning.images import MAX_BYTES
from captioning.memory import give_back_blocks, share_one_heap
from captioning.page.streamlit_losses import keep_upload_addresses

LARGE_BLOCK = 2**20
# Starlette's exceptions when a page is closed during an upload, and while its socket is being read.
CLOSED_PAGE = ("ClientDisconnect", "WebSocketDisconnected")
# The threads in which a page is being run.
_running: set[int] = set()


@contextmanager
def running() -> Iterator[None]:
    """A run of a page."""
    thread = threading.get_ident()
    _running.add(thread)
    try:
        yield
    finally:
        _running.discard(thread)


def is_quiet() -> bool:
    """Whether no other page is being run."""
    return len(_running) < 2


@cache
def set_up_process() -> None:
    """Prepare the process for many sessions; only the first call does anything."""
    # Streamlit's web server would write a larger upload to a disk while it arrives.
    MultiPartParser.spool_max_size = 2 * MAX_BYTES
    keep_upload_addresses()
    logging.getLogger("uvicorn.error").addFilter(_is_failure)
    # Every run of a page is a thread of its own.
    share_one_heap()
    give_back_blocks(LARGE_BLOCK)
    # Streamlit collects garbage after every run of a page. To go through half a million objects of imported modules,
    # which are no garbage, takes a sixth of a second in which every other session stands still.
    gc.freeze()


def _is_failure(record: logging.LogRecord) -> bool:
    """False for the error of a page that was closed, which the web server would log with a traceback."""
    return not (record.exc_info and type(record.exc_info[1]).__name__ in CLOSED_PAGE)
