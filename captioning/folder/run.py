"""A folder captioned into a file: `python -m captioning caption DIR --output FILE`."""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from captioning.errors import CaptioningError
from captioning.folder.job import Job
from captioning.folder.photos import find_photos
from captioning.folder.results import Results
from captioning.folder.rows import Failure, Result, Row

SUFFIXES = (".csv", ".jsonl", ".parquet")
# Captions photos batch by batch, in their order.
Engine = Callable[[Job, Sequence[str]], Iterator[list[Result]]]


def caption_folder(job: Job, output: Path, engine: Engine) -> int:
    """Caption the photos of a folder that have no row in a file yet, and tell those that cannot be read.

    Args:
        job: the folder, the model and how to search.
        output: a `.csv`, `.jsonl` or `.parquet` file.
        engine: what captions.

    Returns:
        The exit code: 0, 2 where a photo got no caption, 130 after Ctrl-C.

    Raises:
        CaptioningError: the folder, the file or the checkpoint is not as it must be.
    """
    photos, failures = find_photos(job.folder)
    with _open_results(output, job.made_with()) as results:
        left = [photo for photo in photos if photo not in results.photos]
        bar = tqdm(total=len(photos), initial=len(photos) - len(left), desc="Captioning", unit="photo")
        try:
            with bar:
                for batch in engine(job, left) if left else ():
                    results.append(result for result in batch if isinstance(result, Row))
                    failures += [result for result in batch if isinstance(result, Failure)]
                    bar.update(len(batch))
            results.finish()
        except KeyboardInterrupt:
            print(f"Stopped at {bar.n} of {len(photos)} photos: the same command goes on from there.", file=sys.stderr)
            return 130
    for failure in sorted(failures, key=lambda failure: failure.photo):
        print(failure.reason, file=sys.stderr)
    return 2 if failures else 0


def _open_results(path: Path, made_with: dict) -> Results:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise CaptioningError(f"{path} is no file for captions: let its name end with {', '.join(SUFFIXES)}.")
    if suffix != ".parquet":
        return Results(path, made_with)
    # Here, so that lines of text do not wait for it.
    from captioning.folder.table import Table

    return Table(path, made_with)
