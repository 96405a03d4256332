"""What captioning a folder costs beside its convolutions, and the memory that it takes.

python -m benchmarks.folder DIR [--photos 1000] [--rounds 3]
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from captioning import Captioner, SearchOptions, open_image
from captioning.checkpoint import DEFAULT_CHECKPOINT
from captioning.folder.job import Job
from captioning.folder.photos import find_photos
from captioning.folder.threads import caption_with_threads
from captioning.images import to_pixels
from captioning.model.encoder import CPU_BATCH_SIZE


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@torch.inference_mode()
def encode(captioner: Captioner, pixels: torch.Tensor) -> None:
    """The convolutions alone, on tensors that are ready."""
    for batch in pixels.split(CPU_BATCH_SIZE):
        captioner.model.encoder(batch)


def peak_megabytes(folder: Path) -> float:
    """Peak memory of the command on all of a folder."""
    with tempfile.TemporaryDirectory() as place:
        call = [sys.executable, "-m", "captioning", "caption", folder, "--output", Path(place) / "captions.csv"]
        subprocess.run(call, check=True, stderr=subprocess.DEVNULL)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--photos", type=int, default=1000, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    arguments = parser.parse_args()
    # First, for a process counts the memory of the one that started it as its own.
    print(f"peak memory of the command on the whole folder: {peak_megabytes(arguments.folder):.0f} MB")
    job = Job(arguments.folder, DEFAULT_CHECKPOINT, SearchOptions())
    photos = find_photos(job.folder)[0][: arguments.photos]
    captioner = Captioner.from_checkpoint(job.checkpoint)
    size = captioner.model.config.image_size
    pixels = torch.stack([to_pixels(open_image(job.folder / photo), size) for photo in photos])
    encode(captioner, pixels[:64])
    alone, whole = [], []
    for _ in range(arguments.rounds):
        alone.append(len(photos) / seconds(lambda: encode(captioner, pixels)))
        whole.append(len(photos) / seconds(lambda: list(caption_with_threads(job, photos))))
    encoder, run = statistics.median(alone), statistics.median(whole)
    print(f"encoder alone {encoder:.1f} photos/s, folder {run:.1f}: {run / encoder:.0%} of it, medians of {len(whole)}")


if __name__ == "__main__":
    main()
