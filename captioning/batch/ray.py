"""A folder captioned by Ray Data, on this machine or on a cluster: each worker is a process with a model of its own."""

import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import captioning
from captioning.batch.find import Failure
from captioning.batch.run import Job, Result
from captioning.batch.write import Row
from captioning.errors import CaptioningError
from captioning.inference.captioner import BATCH_SIZE

# Read when Ray is imported and started: it sends no statistics, and does not write between the lines of progress.
SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DATA_LOG_LEVEL": "CRITICAL", "RAY_BACKEND_LOG_LEVEL": "fatal"}
# What is passed on are names and captions, for which Ray would reserve a third of the memory.
OBJECT_STORE_BYTES = 128 * 2**20


class Worker:
    """A process with a model of its own, computing on one core."""

    def __init__(self, job: Job):
        self._job, self._captioner = job, job.captioner()

    def __call__(self, batch: dict) -> dict:
        """Columns of results, of which a row or a failure each has its own, for a column of photos."""
        results = self._job.caption(self._captioner, batch["item"].tolist())
        columns = ("photo", "caption", "log_probability", "reason")
        return {column: [getattr(result, column, None) for result in results] for column in columns}


def caption_with_ray(
    job: Job, photos: Sequence[str], workers: int | None = None, address: str | None = None
) -> Iterator[list[Result]]:
    """Caption photos batch by batch, in their order.

    Ray Data starts a worker again that died, and has its batch done again, as often as it takes. How many batches are
    under way depends on the free memory.

    Args:
        job: the folder, the model and how to search; its paths must mean the same on every machine.
        photos: of the folder.
        workers: processes; by default one a core of the machine or the cluster.
        address: of a running cluster; by default Ray is started here, and ended at the end.

    Raises:
        CaptioningError: Ray is not installed, there is no cluster, or it was lost.
    """
    os.environ.update(SETTINGS)
    try:
        import ray
        from ray.data import ActorPoolStrategy, DataContext
        from ray.exceptions import RayError
    except ImportError:
        raise CaptioningError("Ray is not installed: pip install -r requirements-ray.txt.") from None
    job = replace(job, folder=job.folder.resolve(), checkpoint=job.checkpoint.resolve())
    try:
        _start(ray, workers, address)
        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.execution_options.preserve_order = True
        # A block is what a worker is given at a time.
        blocks = ray.data.from_items(list(photos), override_num_blocks=-(-len(photos) // BATCH_SIZE))
        results = blocks.map_batches(
            Worker,
            fn_constructor_args=(job,),
            batch_size=None,
            compute=ActorPoolStrategy(size=workers or int(ray.cluster_resources().get("CPU", 1))),
            num_cpus=1,
        )
        tables: Any = results.iter_batches(batch_size=None, batch_format="pyarrow")
        for table in tables:
            yield [_result(**columns) for columns in table.to_pylist()]
    except RayError as error:
        raise CaptioningError(f"Ray gave up ({type(error).__name__}): the same command continues from there.") from None
    finally:
        ray.shutdown()


def _start(ray: ModuleType, workers: int | None, address: str | None) -> None:
    quiet = {"log_to_driver": False, "logging_level": "CRITICAL"}
    if address is None:
        ray.init("local", num_cpus=workers, include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES, **quiet)
        return
    try:
        # Ray itself would try for minutes to reach a cluster that does not answer.
        host, port = address.rsplit(":", 1)
        socket.create_connection((host, int(port)), timeout=10).close()
        # The other machines get this package from here.
        ray.init(address, runtime_env={"py_modules": [str(Path(captioning.__file__).parent)]}, **quiet)
    except (OSError, OverflowError, ValueError):
        raise CaptioningError(
            f"No Ray cluster answers at {address}: give HOST:PORT of one, with RAY_AUTH_MODE=token if it wants a token."
        ) from None


def _result(photo: str, caption: Any, log_probability: Any, reason: str | None) -> Result:
    return Row(photo, caption, log_probability) if reason is None else Failure(photo, reason)
