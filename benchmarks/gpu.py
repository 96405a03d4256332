"""Captions on a GPU beside ONNX Runtime on the processor of the same machine.

    python -m benchmarks.gpu --data ../shared/flickr8k [--photos 100]

One photo after the other, from its file to its caption at beam 5, the sides in turns; then all of dev in batches, with
the scores and the share of captions that equal ONNX Runtime's.
"""

import statistics
import time
from pathlib import Path

import torch

from benchmarks.report import spread, summarised
from captioning import DEFAULT_CHECKPOINT, Captioner, SearchOptions
from captioning.data.datasets import Example, read_dataset
from captioning.evaluation.evaluate import WidthScore, evaluate

SIDES = {
    "PyTorch, CUDA, float16": ("cuda", "float16"),
    "PyTorch, CUDA, float32": ("cuda", "float32"),
    "ONNX Runtime, float32": ("cpu", "float32"),
}
HEAD = "| | ms a photo, one by one | dev: captions a second | BLEU-4 / CIDEr | equal captions | GPU memory, MB |"


def one_by_one(captioners: dict[str, Captioner], photos: list[Path]) -> dict[str, list[float]]:
    """Milliseconds of every photo, the sides in turns; the first photo only warms them up."""
    times: dict[str, list[float]] = {name: [] for name in captioners}
    for photo in photos:
        for name, captioner in captioners.items():
            started = time.perf_counter()
            captioner(photo)
            times[name].append(1000 * (time.perf_counter() - started))
    return {name: values[1:] for name, values in times.items()}


def on_dev(captioner: Captioner, examples: list[Example]) -> tuple[WidthScore, float]:
    """The scores, and the GPU memory at most, in MB."""
    torch.cuda.reset_peak_memory_stats()
    [score] = evaluate(captioner, examples, [5], SearchOptions())
    return score, torch.cuda.max_memory_allocated() / 1e6


def main() -> None:
    parser = summarised(__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=100, help="captioned one by one (default: %(default)s)")
    arguments = parser.parse_args()
    examples = list(read_dataset(arguments.data).split("dev"))
    captioners = {name: Captioner.from_checkpoint(DEFAULT_CHECKPOINT, *side) for name, side in SIDES.items()}
    times = one_by_one(captioners, [example.photo for example in examples[: arguments.photos + 1]])
    scored = {name: on_dev(captioner, examples) for name, captioner in captioners.items()}
    same = scored["ONNX Runtime, float32"][0].captions
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}; {len(examples):,} photos.\n\n{HEAD}")
    print("|---" * 6 + "|")
    for name, (score, memory) in scored.items():
        equal = statistics.fmean(one == other for one, other in zip(score.captions, same, strict=True))
        print(
            f"| {name} | {spread(times[name], 1)} | {len(examples) / score.seconds:,.0f} | {score.bleu[3]:.2f} / "
            f"{score.metrics['cider']:.1f} | {equal:.1%} | {memory:,.0f} |"
        )


if __name__ == "__main__":
    main()
