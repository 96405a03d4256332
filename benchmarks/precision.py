"""Captions in each precision that the checkpoint has graphs of, beside those in float32, on the dev split.

python -m benchmarks.precision --data ../shared/flickr8k
"""

from pathlib import Path

from benchmarks.report import summarised
from captioning import DEFAULT_CHECKPOINT, Captioner, SearchOptions
from captioning.checkpoint import read_info
from captioning.data.datasets import read_dataset
from captioning.evaluation.evaluate import evaluate

HEAD = "| precision | captions as in float32 | BLEU-4 on dev | seconds for the split |\n|---|---|---|---|"


def measure(data: Path) -> list[str]:
    """Lines of the table, one a precision."""
    examples = read_dataset(data).split("dev")
    lines, exact = [], None
    for name in sorted(read_info(DEFAULT_CHECKPOINT).graph_precisions):
        captioner = Captioner.from_checkpoint(DEFAULT_CHECKPOINT, "cpu", name)
        [score] = evaluate(captioner, examples, [5], SearchOptions())
        exact = exact or score.captions
        same = sum(one == other for one, other in zip(exact, score.captions, strict=True)) / len(exact)
        lines.append(f"| {name} | {same:.1%} | {score.bleu[3]:.2f} | {score.seconds:.1f} |")
    return lines


if __name__ == "__main__":
    parser = summarised(__doc__)
    parser.add_argument("--data", type=Path, required=True)
    print(HEAD, *measure(parser.parse_args().data), sep="\n")
