"""The end of a run: every stage's best epoch and their mean scored on dev, and the best of all written."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from captioning.checkpoint import CheckpointInfo
from captioning.data.datasets import CaptionDataset
from captioning.errors import ExportError
from captioning.evaluation.evaluate import evaluate, flat, score_table
from captioning.evaluation.metrics import geometric_mean
from captioning.inference.captioner import Captioner
from captioning.inference.options import SearchOptions
from captioning.model.model import CaptioningModel, load_model, save_model
from captioning.record import DataSetRecord, Score
from captioning.training.callbacks import write_table
from captioning.training.mean import mean_of_checkpoints
from captioning.training.optimize import make_graphs
from captioning.training.plots import plot_beam_scores
from captioning.training.preflight import check_output
from captioning.training.settings import RunSettings
from captioning.vocabulary import Vocabulary, tokenize

SCORED_WIDTHS = (1, 3, 5)
# Of the last stage's weights in their means with those of the stage before.
SHARES = (0.2, 0.35, 0.5)


def score_stages(stages: Sequence[Path], datasets: Sequence[CaptionDataset], run: RunSettings) -> None:
    """Choose the checkpoint that scores best on the dev splits, and write it with its scores to the run's output.

    As in training, the geometric mean of BLEU-4 and CIDEr is compared, over the data sets and the beam widths. Means of
    the last two stages' weights are candidates too: the later one started from the earlier, and between the two lie
    weights that have something of both (Wortsman et al., 2022, *Robust fine-tuning of zero-shot models*). The means
    (`mean….safetensors`), a table (`beam_scores.csv`) and plots (`beam_scores_….png`) go into the run's folder. The
    output has graphs where the run asks for them and the encoder can be exported, and its scores are theirs.

    Args:
        stages: a checkpoint for each, and the one that they started from if there was one.
        datasets: to score them on.
        run: places, and whether test splits are scored too.

    Raises:
        CheckpointError: a checkpoint cannot be written, or another run has written one there meanwhile.
    """
    if len(stages) > 1:
        stages = [*stages, *(_write_mean(stages[-2], stages[-1], share, run.folder) for share in SHARES)]
    on_dev = {path: [_score(path, dataset, "dev") for dataset in datasets] for path in stages}
    best = max(stages, key=lambda path: _mean_score(on_dev[path]))
    model, info = load_model(best)
    graphs = _make_graphs(model, info, datasets, run)
    # The graphs are scored, in the precision in which they will run.
    shipped = run.folder / "shipped.safetensors"
    save_model(shipped, model, info.vocabulary, info.training, graphs)
    described = [_describe(shipped, dataset, score_test=run.score_test) for dataset in datasets]
    for dataset, about in zip(datasets, described, strict=True):
        plot_beam_scores(about.scores, run.folder / f"beam_scores_{dataset.key}.png")
    write_table(run.folder / "beam_scores.csv", _table(described))
    check_output(run.output)
    info.training.datasets = described
    save_model(run.output, model, info.vocabulary, info.training, graphs)
    print(f"{best.stem}, the best on dev, is written to {run.output}.")


def optimize_checkpoint(path: Path, datasets: Sequence[CaptionDataset] = (), *, score_test: bool = False) -> None:
    """Write graphs, their scores and which words may be repeated into a checkpoint, replacing those that it has.

    See `make_graphs` and `Vocabulary.with_repeatable`.

    Args:
        path: of the checkpoint.
        datasets: those it was trained on.
        score_test: score the test splits too, where there are any.

    Raises:
        CheckpointError: the file is not sound, or cannot be written.
        ExportError: its encoder has no graph that ONNX Runtime runs.
        ImageError: a photo cannot be read.
    """
    model, info = load_model(path)
    if datasets:
        info = replace(info, vocabulary=_with_repeatable(info.vocabulary, datasets))
    graphs = make_graphs(model, info, datasets)
    save_model(path, model, info.vocabulary, info.training, graphs)
    if datasets:
        info.training.datasets = [_describe(path, dataset, score_test=score_test) for dataset in datasets]
        save_model(path, model, info.vocabulary, info.training, graphs)


def _make_graphs(
    model: CaptioningModel, info: CheckpointInfo, datasets: Sequence[CaptionDataset], run: RunSettings
) -> dict[str, np.ndarray]:
    """The graphs that a run's checkpoint gets; none where the encoder has none, for it was trained all the same."""
    if not run.graphs:
        return {}
    try:
        return make_graphs(model, info, datasets if run.quantize else ())
    except ExportError as error:
        print(f"{error} The checkpoint is written without graphs: it needs PyTorch.", flush=True)
        return {}


def _with_repeatable(vocabulary: Vocabulary, datasets: Sequence[CaptionDataset]) -> Vocabulary:
    train = [example for dataset in datasets for example in dataset.split("train")]
    return vocabulary.with_repeatable(
        tokenize(caption, vocabulary.tokenizer) for example in train for caption in example.captions
    )


def _describe(path: Path, dataset: CaptionDataset, *, score_test: bool) -> DataSetRecord:
    """A data set's name and sizes, and the scores of its splits."""
    scored = ("dev", "test") if score_test and dataset.splits["test"] else ("dev",)
    if score_test and "test" not in scored:
        print(f"{dataset.name} has no test split to score.", flush=True)
    about = dataset.about
    about.scores = {split: _score(path, dataset, split) for split in scored}
    return about


def _mean_score(on_datasets: Sequence[Sequence[Score]]) -> float:
    return geometric_mean(
        [score for rows in on_datasets for row in rows for score in (row.bleu[3], row.measures["cider"])]
    )


def _table(described: Sequence[DataSetRecord]) -> list[dict]:
    return [
        {"dataset": about.name, "split": split, **flat(row)}
        for about in described
        for split, rows in about.scores.items()
        for row in rows
    ]


def _write_mean(earlier: Path, later: Path, share: float, folder: Path) -> Path:
    """Write a checkpoint whose weights are the mean of two others', with this share of the later one's."""
    model, info = mean_of_checkpoints([earlier, later], [1 - share, share])
    path = folder / f"mean{share}.safetensors"
    save_model(path, model, info.vocabulary, info.training)
    return path


def _score(path: Path, dataset: CaptionDataset, split: str) -> list[Score]:
    captioner = Captioner.from_checkpoint(path, single_thread=True)
    scores = evaluate(captioner, dataset.split(split), SCORED_WIDTHS, SearchOptions())
    rows = [Score(score.as_dict()) for score in scores]
    print(f"{path.stem} on the {split} split of {dataset.name}:\n{score_table(rows)}", flush=True)
    return rows
