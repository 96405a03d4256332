"""How the cost grows: with photos in a batch, beams, words, megapixels and threads.

python -m benchmarks.growth
"""

import io
import statistics
from collections.abc import Callable, Iterable
from typing import Any

from PIL import Image

from benchmarks.timing import in_turns
from captioning import DEFAULT_CHECKPOINT, Captioner, SearchOptions, open_image
from captioning.inference.runtime import core_count
from captioning.page.gallery import sample_photos

ROUNDS = 7
HEAD = "| what grows | milliseconds, whole way at beam 5 unless said |\n|---|---|"


def growth(name: str, unit: str, sizes: Iterable, work: Callable[[Any], Callable[[], object]]) -> str:
    """A line of the table: the median for each size."""
    times = in_turns({f"{size:g}": work(size) for size in sizes}, ROUNDS)
    medians = ", ".join(f"{size}: {statistics.median(taken) * 1000:,.1f}" for size, taken in times.items())
    return f"| {name} ({unit}) | {medians} |"


def photo_of(megapixels: float) -> bytes:
    """A real photo as a JPEG of this size."""
    with Image.open(sample_photos()["Astronaut"]) as photo:
        side = round((megapixels * 1e6) ** 0.5)
        file = io.BytesIO()
        photo.convert("RGB").resize((side, side), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


def measure() -> list[str]:
    """Lines of the table."""
    captioner = Captioner.from_checkpoint(DEFAULT_CHECKPOINT)
    photo = open_image(sample_photos()["Rocket"])
    by_threads = {1: Captioner.from_checkpoint(DEFAULT_CHECKPOINT, single_thread=True), core_count(): captioner}

    def photos(count: int) -> Callable[[], object]:
        return lambda: captioner.describe(captioner.encode([photo] * count))

    def beams(width: int) -> Callable[[], object]:
        return lambda: captioner(photo, SearchOptions(beam_size=width))

    def words(count: int) -> Callable[[], object]:
        # The words that it is made to say are searched as all others are.
        said = (["a", "dog"] * count)[:count]
        encoded = captioner.encode([photo])
        return lambda: captioner.describe(encoded, SearchOptions(max_steps=count), [said])

    def megapixels(count: float) -> Callable[[], object]:
        data = photo_of(count)
        return lambda: captioner(data)

    def threads(count: int) -> Callable[[], object]:
        return lambda: by_threads[count](photo)

    return [
        growth("photos in a batch", "photos", (1, 2, 4, 8, 16, 32, 64), photos),
        growth("beam width", "beams", (1, 2, 3, 5, 7, 10), beams),
        growth("words, search alone", "words", (5, 10, 15, 20), words),
        growth("photo from its JPEG", "megapixels", (0.2, 1, 5, 12, 25, 50), megapixels),
        growth("threads", "threads", by_threads, threads),
    ]


if __name__ == "__main__":
    print(HEAD, *measure(), sep="\n")
