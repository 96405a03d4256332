"""What the server does beside its pages.

It loads the model while the first browser is still opening its page, and gives back memory that pages no longer use.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from threading import Thread

import streamlit as st

from captioning.memory import give_back_free_memory

SECONDS_BETWEEN_GIVING_BACK = 10


@asynccontextmanager
async def serving(app: st.App) -> AsyncIterator[None]:
    """The lifespan of the server; see `st.App`."""
    Thread(target=load_first_page, daemon=True).start()
    giving_back = asyncio.create_task(keep_giving_back())
    yield
    giving_back.cancel()


async def keep_giving_back() -> None:
    """Give back free memory every few seconds; glibc keeps what pages free, for it lies between what others hold."""
    while True:
        await asyncio.sleep(SECONDS_BETWEEN_GIVING_BACK)
        await asyncio.to_thread(give_back_free_memory)


def load_first_page() -> None:
    """Load and compute what a page shows when it is opened without an address; an error is left to the page to say."""
    # Not before the server is up, which a browser waits for.
    from captioning import SearchOptions
    from captioning.checkpoint import checkpoint_fingerprint
    from captioning.errors import CaptioningError
    from captioning.page.cache import SMALL_SIZE, load_captioner, load_photo, load_thumbnail, prepare
    from captioning.page.library import default_checkpoint, offered_checkpoints
    from captioning.page.main import load_library, page_arguments

    # This thread belongs to no page, and Streamlit would warn that a spinner is shown on none.
    logging.getLogger("streamlit.runtime.scriptrunner_utils.script_run_context").setLevel(logging.ERROR)
    with suppress(CaptioningError):
        library, checkpoints = load_library(page_arguments()), offered_checkpoints()
        checkpoint = checkpoint_fingerprint(checkpoints[default_checkpoint(checkpoints)])
        load_captioner(checkpoint)
        if library.datasets:
            return
        for path in () if library.is_large else library.gallery.values():
            load_thumbnail(path, SMALL_SIZE)
        prepare(checkpoint, load_photo(*next(iter(library.gallery.items())), ()), SearchOptions().beam_size)
