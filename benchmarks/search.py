"""Beam search, ours beside the reference's way, with the same weights and features.

python -m benchmarks.search
"""

import numpy as np
import torch

from benchmarks.reference import reference_search
from benchmarks.timing import HEAD, Row, compare
from captioning import DEFAULT_CHECKPOINT, Captioner, SearchOptions, open_image
from captioning.inference.beam_search import beam_search
from captioning.model.model import load_model
from captioning.page.gallery import sample_photos

BATCH = 32


def measure() -> list[Row]:
    """At several beam widths: the sample photos one by one, and as a batch of 32 (each of them several times)."""
    captioner = Captioner.from_checkpoint(DEFAULT_CHECKPOINT, "cpu", "float32")
    pixels = np.stack([captioner.pixels(open_image(path)) for path in sample_photos().values()])
    model, _ = load_model(DEFAULT_CHECKPOINT)
    with torch.inference_mode():
        features = model.encoder(torch.from_numpy(pixels))
    samples = captioner.backend.encode(pixels)
    chosen = [index % len(samples) for index in range(BATCH)]
    rows = []
    for width in (1, 3, 5, 10):
        options = SearchOptions(beam_size=width)

        def one_by_one(options: SearchOptions = options) -> None:
            for photo in samples:
                beam_search(captioner.backend, [photo], options, once=captioner.info.vocabulary.once)

        def together(options: SearchOptions = options) -> None:
            beam_search(
                captioner.backend, [samples[index] for index in chosen], options, once=captioner.info.vocabulary.once
            )

        def reference(features: torch.Tensor, width: int = width) -> None:
            for each in features.split(1):
                reference_search(model.decoder, each, width)

        name, way = f"search at beam {width}", "the reference's way"
        rows += compare(f"{name}, {len(samples)} photos one by one", one_by_one, {way: lambda: reference(features)})
        rows += compare(
            f"{name}, {BATCH} photos together", together, {way: lambda: reference(features[chosen])}, rounds=3
        )
    return rows


if __name__ == "__main__":
    print(HEAD, *measure(), sep="\n")
