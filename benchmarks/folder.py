"""What captioning a folder costs beside its encoder, and the memory that it takes.

python -m benchmarks.folder DIR [--photos 1000] [--rounds 3]
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil

from benchmarks.timing import HEAD, Row, compare
from captioning import Captioner, SearchOptions, open_image
from captioning.defaults import DEFAULT_CHECKPOINT
from captioning.folder.job import BATCH_SIZE, Job
from captioning.folder.photos import find_photos
from captioning.folder.threads import caption_with_threads
from captioning.inference.runtime import core_count


def encode_in_threads(captioner: Captioner, pixels: np.ndarray) -> None:
    """The encoder alone as the folder is worked on: a thread a core, each with photos of its own."""
    with ThreadPoolExecutor(core_count()) as pool:
        list(pool.map(captioner.backend.encode, np.split(pixels, range(BATCH_SIZE, len(pixels), BATCH_SIZE))))


def peak_megabytes(folder: Path) -> float:
    """Peak memory of the command on all of a folder."""
    with tempfile.TemporaryDirectory() as place:
        call = [sys.executable, "-m", "captioning", "caption", folder, "--output", Path(place) / "captions.csv"]
        process, peak = psutil.Popen(call, stderr=subprocess.DEVNULL), 0
        while process.poll() is None:
            with suppress(psutil.Error):
                peak = max(peak, process.memory_info().rss)
            time.sleep(0.01)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, call)
    return peak / 1e6


def one_core(job: Job, captioner: Captioner, photos: list[str]) -> str:
    """What a photo takes of one core, the others doing nothing."""
    seconds = Counter()
    for start in range(0, len(photos), BATCH_SIZE):
        begun = time.perf_counter()
        batch = [captioner.pixels(open_image(job.folder / photo)) for photo in photos[start : start + BATCH_SIZE]]
        read = time.perf_counter()
        encoded = captioner.encode(batch)
        captioner.describe(encoded, job.options)
        searched = time.perf_counter() - read - encoded.seconds
        seconds.update(read=read - begun, encoder=encoded.seconds, search=searched)
    each = ", ".join(f"{part} {1000 * taken / len(photos):.1f}" for part, taken in seconds.items())
    return (
        f"One core, the others idle, milliseconds a photo: {each}. If nothing were lost between them, and the model "
        f"were loaded, a folder would have {seconds['encoder'] / seconds.total():.0%} of the rate of the encoder alone."
    )


def measure(folder: Path, count: int, rounds: int) -> list[Row | str]:
    """The folder beside the encoder alone, for the first photos of it; and what each part takes."""
    job = Job(folder, DEFAULT_CHECKPOINT, SearchOptions())
    photos = find_photos(job.folder)[0][:count]
    all_cores, one = Captioner.from_checkpoint(job.checkpoint, "cpu"), job.captioner()
    pixels = np.stack([one.pixels(open_image(job.folder / photo)) for photo in photos])
    others = {
        "the encoder alone, all cores on each batch": lambda: all_cores.backend.encode(pixels),
        "the encoder alone, a core for each batch": lambda: encode_in_threads(one, pixels),
    }
    rows = compare(f"a folder of {len(photos)} photos", lambda: list(caption_with_threads(job, photos)), others, rounds)
    return [*rows, "", one_core(job, one, photos)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--photos", type=int, default=1000, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    arguments = parser.parse_args()
    # First, for a process counts the memory of the one that started it as its own.
    print(f"peak memory of the command on the whole folder: {peak_megabytes(arguments.folder):.0f} MB")
    print(HEAD, *measure(arguments.folder, arguments.photos, arguments.rounds), sep="\n")


if __name__ == "__main__":
    main()
