"""The end of a run: every stage's best epoch and their mean scored on dev, and the best of all on test."""

from collections.abc import Sequence
from pathlib import Path

from captioning.data.datasets import CaptionDataset
from captioning.evaluation.evaluate import evaluate, score_table
from captioning.inference.captioner import Captioner
from captioning.inference.options import SearchOptions
from captioning.model.model import load_model, save_model
from captioning.training.callbacks import write_table
from captioning.training.run import check_output
from captioning.visualize.curves import plot_beam_scores

BEAM_SIZES = (1, 3, 5)


def score_stages(stages: Sequence[Path], dataset: CaptionDataset, output: Path, folder: Path) -> None:
    """Choose the checkpoint with the best BLEU-4 on dev, averaged over the beam widths, and write it with its scores.

    The mean of the last two stages' weights is a candidate too: the later one started from the earlier, and between
    the two lie weights that have something of both (Wortsman et al., 2022, *Model soups*).

    Args:
        stages: a checkpoint for each, and the one that they started from if there was one.
        dataset: to score them on.
        output: the checkpoint to write.
        folder: where the mean, a table (`beam_scores.csv`) and a plot (`beam_scores.png`) go.

    Raises:
        CheckpointError: a checkpoint cannot be written, or another run has written one there meanwhile.
    """
    if len(stages) > 1:
        stages = [*stages, _write_mean(stages[-2], stages[-1], folder / "mean.safetensors")]
    on_dev = {path: _score(path, dataset, "dev") for path in stages}
    best = max(stages, key=lambda path: sum(row["bleu"][3] for row in on_dev[path]))
    scores = {"dev": on_dev[best], "test": _score(best, dataset, "test")}
    rows = [
        {"split": split, "beam_size": row["beam_size"]}
        | {f"bleu{order}": value for order, value in enumerate(row["bleu"], start=1)}
        | {name: value for name, value in row.items() if name not in ("beam_size", "bleu")}
        for split, found in scores.items()
        for row in found
    ]
    write_table(folder / "beam_scores.csv", rows)
    plot_beam_scores(scores, folder / "beam_scores.png")
    check_output(output)
    model, info = load_model(best)
    save_model(output, model, info.vocabulary, {**info.training, "scores": scores})
    print(f"{best.stem}, the best on dev, is written to {output}.")


def _write_mean(first: Path, second: Path, path: Path) -> Path:
    """Write a checkpoint whose weights are the mean of two others'."""
    (model, _), (other, info) = load_model(first), load_model(second)
    weights = other.state_dict()
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            weights[name].add_(tensor).div_(2)
    save_model(path, other, info.vocabulary, {**info.training, "mean_of": [first.stem, second.stem]})
    return path


def _score(path: Path, dataset: CaptionDataset, split: str) -> list[dict]:
    captioner = Captioner.from_checkpoint(path)
    scores = evaluate(captioner, dataset.split(split), BEAM_SIZES, SearchOptions())
    rows = [score.as_dict() for score in scores]
    print(f"{path.stem} on {split}:\n{score_table(rows)}", flush=True)
    return rows
