"""How long one photo takes, from an open file to its beam-5 caption, after the model is loaded.

python -m benchmarks.one_photo [--photo FILE]
"""

import argparse
import statistics
import time
from pathlib import Path

import torch

from captioning import Captioner, SearchOptions
from captioning.checkpoint import DEFAULT_CHECKPOINT
from captioning.data.gallery import sample_photos

RUNS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--photo", type=Path, default=sample_photos()["Astronaut"])
    parser.add_argument("--checkpoint", type=Path, default=DEFAULT_CHECKPOINT)
    arguments = parser.parse_args()
    captioner = Captioner.from_checkpoint(arguments.checkpoint)
    captioner(arguments.photo)
    seconds = []
    for _ in range(RUNS):
        started = time.perf_counter()
        captioner(arguments.photo, SearchOptions(beam_size=5))
        seconds.append(time.perf_counter() - started)
    print(
        f"file to caption, beam 5, {torch.get_num_threads()} threads, {RUNS} runs: median "
        f"{statistics.median(seconds) * 1000:.0f} ms, least {min(seconds) * 1000:.0f}, most {max(seconds) * 1000:.0f}"
    )


if __name__ == "__main__":
    main()
