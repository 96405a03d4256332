"""Everything that is measured of speed, in one go, into benchmarks/RESULTS.md.

python -m benchmarks --data ../shared/flickr8k

The app is measured by benchmarks.app and benchmarks.soak, which need a browser.
"""

import argparse
import os
import platform
from collections.abc import Iterator
from pathlib import Path

import timm
import torch

from benchmarks import epoch, folder, growth, one_photo, precision, search, timing
from captioning.files import write_whole

RESULTS = Path(__file__).parent / "RESULTS.md"
FOLDER_PHOTOS, FOLDER_ROUNDS = 1000, 3
EPOCH_PHOTOS, EPOCH_ROUNDS = 120, 3


def machine() -> str:
    """What it ran on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    processor = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"{processor or platform.processor()}, {os.cpu_count()} cores, {gpu}; {platform.system()}, "
        f"Python {platform.python_version()}, torch {torch.__version__}, timm {timm.__version__}."
    )


def sections(data: Path) -> Iterator[list[object]]:
    """Parts of the report, each as its lines."""
    photos = next(path.parent for path in sorted(data.rglob("*.jpg")))
    # First, for a process counts the memory of the one that started it as its own.
    peak = folder.peak_megabytes(photos)
    yield ["# How fast it is", "", "Made by `python -m benchmarks --data ../shared/flickr8k` on:", machine()]
    yield ["Medians; a ratio is taken in each round, the two being run in turns, and its least and most are given."]
    yield ["## Search", "", timing.HEAD, *search.measure()]
    yield ["## One photo", "", timing.HEAD, *one_photo.measure()]
    yield ["## A folder", "", timing.HEAD, *folder.measure(photos, FOLDER_PHOTOS, FOLDER_ROUNDS)]
    yield [f"Peak memory of the command on all {len(list(photos.iterdir())):,} photos: {peak:,.0f} MB."]
    row, cached = epoch.measure(data, EPOCH_PHOTOS, EPOCH_ROUNDS)
    yield ["## Training", "", timing.HEAD, row, "", f"Caching their features, once for all epochs: {cached:.1f} s."]
    yield ["## How cost grows", "", growth.HEAD, *growth.measure()]
    yield ["## Precision", "", precision.HEAD, *precision.measure(data)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder of Flickr8k")
    report = []
    for section in sections(parser.parse_args().data):
        report.append("\n".join(map(str, section)))
        print(report[-1], end="\n\n", flush=True)
    write_whole(RESULTS, ("\n\n".join(report) + "\n").encode())


if __name__ == "__main__":
    main()
