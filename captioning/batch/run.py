"""A folder captioned into a file: `python -m captioning caption DIR --output FILE`."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from captioning.batch.find import Failure, find_photos
from captioning.batch.journal import Journal
from captioning.batch.write import Row
from captioning.checkpoint import read_info
from captioning.errors import ImageError
from captioning.files import file_digest
from captioning.images import open_image
from captioning.inference.captioner import Captioner
from captioning.inference.options import SearchOptions
from captioning.inference.runtime import choose_runtime

Result = Row | Failure


@dataclass(frozen=True)
class Job:
    """A folder to caption: the same for every worker, be it a thread or a process.

    Attributes:
        folder: names of photos are relative to it.
        checkpoint: the model.
        options: how to search.
        device, precision: see `choose_runtime`.
    """

    folder: Path
    checkpoint: Path
    options: SearchOptions
    device: str = "auto"
    precision: str | None = None

    def captioner(self) -> Captioner:
        """The model, for a worker that computes on one core.

        Raises:
            CheckpointError: it cannot be loaded.
        """
        return Captioner.from_checkpoint(self.checkpoint, self.device, self.precision, single_thread=True)

    def fingerprint(self) -> dict:
        """What a row depends on besides its photo.

        Raises:
            CheckpointError: the checkpoint is missing or not sound.
        """
        info = read_info(self.checkpoint)
        return {
            "folder": str(self.folder.resolve()),
            "checkpoint": info.path.name,
            "checkpoint_sha256": file_digest(info.path),
            "beam_size": self.options.beam_size,
            "length_penalty": self.options.length_penalty,
            **asdict(choose_runtime(info, self.device, self.precision)),
        }

    def caption(self, captioner: Captioner, photos: Sequence[str]) -> list[Result]:
        """A row or a failure for each photo of a batch, in their order."""
        pixels: dict[str, np.ndarray] = {}
        results: dict[str, Result] = {}
        for photo in photos:
            try:
                # At once, so that a batch of large photos takes no more memory than one of small ones.
                pixels[photo] = captioner.pixels(open_image(self.folder / photo, photo))
            except ImageError as error:
                results[photo] = Failure(photo, str(error))
        if pixels:
            captions = captioner.describe(captioner.encode(list(pixels.values())), self.options)
            for photo, caption in zip(pixels, captions, strict=True):
                results[photo] = Row(photo, caption.text, round(caption.log_probability, 4))
        return [results[photo] for photo in photos]


# Captions photos batch by batch, in their order.
Engine = Callable[[Job, Sequence[str]], Iterator[list[Result]]]


def caption_folder(job: Job, output: Path, engine: Engine) -> int:
    """Caption the photos of a folder that have no row in a file yet, and print why others got none.

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
    with Journal(output, job.fingerprint()) as journal:
        left = [photo for photo in photos if photo not in journal.photos]
        bar = tqdm(total=len(photos), initial=len(photos) - len(left), desc="Captioning", unit="photo")
        try:
            with bar:
                for batch in engine(job, left) if left else ():
                    journal.append(result for result in batch if isinstance(result, Row))
                    failures += [result for result in batch if isinstance(result, Failure)]
                    bar.update(len(batch))
            journal.finish()
        except KeyboardInterrupt:
            print(
                f"Stopped at {bar.n} of {len(photos)} photos, whose rows are kept in {journal.partial}: "
                "the same command continues from there.",
                file=sys.stderr,
            )
            return 130
    for failure in sorted(failures, key=lambda failure: failure.photo):
        print(failure.reason, file=sys.stderr)
    return 2 if failures else 0
