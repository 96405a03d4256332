"""A folder captioned on this machine, by threads that share one model."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from captioning.batch.run import Job, Result
from captioning.inference.captioner import BATCH_SIZE
from captioning.inference.runtime import core_count
from captioning.memory import share_one_heap


def caption_with_threads(job: Job, photos: Sequence[str], workers: int | None = None) -> Iterator[list[Result]]:
    """Caption photos batch by batch, in their order.

    Each thread reads, encodes and searches batches of its own, and computes on one core: threads with photos of their
    own wait for each other less than threads that share the operations of one.

    Args:
        job: the folder, the model and how to search.
        photos: of the folder.
        workers: threads; by default one a core.

    Raises:
        CheckpointError: the model cannot be loaded.
    """
    share_one_heap()
    captioner = job.captioner()
    workers = workers or core_count()
    pool = ThreadPoolExecutor(workers)
    waiting: deque[Future[list[Result]]] = deque()
    try:
        for batch in batches(photos, workers):
            waiting.append(pool.submit(job.caption, captioner, batch))
            # As many again as are worked on, so that one slow batch does not keep the other threads waiting.
            if len(waiting) == 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def batches(photos: Sequence[str], workers: int) -> Iterator[Sequence[str]]:
    """Photos in their order, a batch at a time; the last batches are smaller, so that all workers end together."""
    start = 0
    while left := len(photos) - start:
        size = min(BATCH_SIZE, -(-left // workers))
        yield photos[start : start + size]
        start += size
