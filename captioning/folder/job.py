"""What is to be done with a folder's photos: the same for every worker, be it a thread or a process."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from captioning.checkpoint import read_info
from captioning.errors import ImageError
from captioning.folder.rows import Failure, Result, Row
from captioning.images import open_image
from captioning.inference.captioner import Captioner
from captioning.inference.options import SearchOptions
from captioning.inference.runtime import choose_runtime

# Photos that a worker searches together.
BATCH_SIZE = 32


@dataclass(frozen=True)
class Job:
    """A folder to caption.

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

    def made_with(self) -> dict:
        """What a row depends on besides its photo.

        Raises:
            CheckpointError: there is no checkpoint, or none that is sound.
        """
        info = read_info(self.checkpoint)
        with info.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {
            "folder": str(self.folder.resolve()),
            "checkpoint": info.path.name,
            "checkpoint_sha256": digest,
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


def batches(photos: Sequence[str], workers: int) -> Iterator[Sequence[str]]:
    """Photos in their order, a batch at a time; the last batches are smaller, so that all workers end together."""
    start = 0
    while left := len(photos) - start:
        size = min(BATCH_SIZE, -(-left // workers))
        yield photos[start : start + size]
        start += size
