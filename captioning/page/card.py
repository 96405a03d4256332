"""A checkpoint's card: what it is, how it was trained, how well it does and what it is bad at."""

import re
from dataclasses import dataclass
from pathlib import Path

from captioning.checkpoint import CheckpointInfo
from captioning.inference.captioner import Captioner
from captioning.page.measures import dataset_of, explained, measure_of, named
from captioning.record import DataSetRecord, Score

# What the score table has beside BLEU; more columns would not fit on a screen.
_METRICS = ("cider", "rouge_l", "meteor")
# Columns of an epoch table that have no curve.
_NOT_CURVES = ("epoch", "seconds")


def describe_scores(info: CheckpointInfo) -> str:
    """The checkpoint's BLEU-4 on each of its data sets, in one line."""
    lines = [line for dataset in info.training.datasets if (line := _scores_in_a_line(dataset))]
    return f"BLEU-4, {'; '.join(lines)}" if lines else "Not scored yet: see python -m captioning evaluate."


def _scores_in_a_line(dataset: DataSetRecord) -> str:
    for split in ("test", "dev"):
        if scores := dataset.scores.get(split):
            widths = " · ".join(f"{score.bleu[3]:.1f} (beam {score.beam_size})" for score in scores)
            return f"{dataset.name} {split}: {widths}"
    return ""


def describe_model(captioner: Captioner) -> dict[str, str]:
    """The model's shapes."""
    info, config, count = captioner.info, captioner.info.config, captioner.info.parameters
    rows, columns = captioner.backend.grid
    neck = f", shortened to {config.neck_size}" if config.neck_size else ""
    return {
        "Encoder": f"{config.encoder}, photos at {config.image_size} × {config.image_size}",
        "Feature grid": f"{rows} × {columns} cells of {info.channels:,} channels{neck}",
        "Decoder": f"LSTM of {config.decoder_size}, attention {config.attention_size}, words {config.embedding_size}",
        "Vocabulary": f"{len(info.vocabulary):,} words",
        "Parameters": f"{sum(count.values()) / 1e6:.1f} million: {count['encoder'] / 1e6:.1f} in the encoder, "
        f"{count['decoder'] / 1e6:.1f} in the decoder",
        "File": f"{info.path.name}, {info.size / 1e6:.1f} MB",
    }


def describe_training(info: CheckpointInfo) -> dict[str, str]:
    """Data, seeds and library versions of its training, as far as they are recorded."""
    runs = info.training.stages or [info.training]
    facts = {
        "Data": [_photos(dataset) for dataset in info.training.datasets],
        "Seeds": [str(run.seed) for run in runs if run.seed is not None],
        "Versions": [", ".join(map(" ".join, run.versions.items())) for run in runs],
    }
    return {name: "; ".join(dict.fromkeys(filter(None, found))) for name, found in facts.items() if any(found)}


def _photos(dataset: DataSetRecord) -> str:
    sizes = {"train": dataset.train, "dev": dataset.dev, "test": dataset.test}
    return ", ".join([dataset.name, *(f"{size:,} {split}" for split, size in sizes.items() if size)])


@dataclass(frozen=True)
class Curve:
    """Columns of an epoch table that are drawn together, with their labels; what they say; the rows that have any."""

    name: str
    help: str
    columns: dict[str, str]
    rows: list[dict]


@dataclass(frozen=True)
class Stage:
    """A stage of training: the command, its epoch table, whose columns depend on the stage, and its curves."""

    name: str
    command: str
    table: list[dict]
    curves: list[Curve]


def describe_stages(info: CheckpointInfo) -> list[Stage]:
    """The stages of training that have epochs; a model whose weights are a mean has several of a number."""
    stages = []
    for stage in info.training.stages:
        epochs = [{"epoch": place, **row} for place, row in enumerate(stage.epochs, start=1)]
        if epochs:
            seed = "" if stage.seed is None else f", seed {stage.seed}"
            table = [{named(key): value for key, value in row.items()} for row in epochs]
            name = f"{len(stages) + 1}. Stage {stage.stage}{seed}"
            stages.append(Stage(name, stage.command, table, _curves(epochs, table)))
    return stages


def _curves(epochs: list[dict], table: list[dict]) -> list[Curve]:
    """One curve for all losses together, one for a number and the same of each data set, and one for each other."""
    keys = dict.fromkeys(key for row in epochs for key in row)
    groups: dict[str, list[str]] = {}
    for key in keys:
        if key not in _NOT_CURVES:
            groups.setdefault("Loss" if "loss" in key else named(measure_of(key)), []).append(key)
    curves = []
    for name, group in groups.items():
        columns = {named(key): dataset_of(key) or ("together" if name == named(key) else named(key)) for key in group}
        help = " ".join(dict.fromkeys(filter(None, map(explained, group))))
        curves.append(Curve(name, help, columns, [row for row in table if row.keys() & columns.keys()]))
    return curves


def score_table(info: CheckpointInfo) -> list[dict]:
    """A row for each data set, split and beam width that was scored, with the metrics of the literature."""
    return [
        {"Data set": dataset.name, "Split": split, **_score_row(score)}
        for dataset in info.training.datasets
        for split, scores in dataset.scores.items()
        for score in scores
    ]


def _score_row(score: Score) -> dict[str, str]:
    row = {"Beam width": str(score.beam_size)}
    row |= {f"BLEU-{n}": f"{value:.1f}" for n, value in enumerate(score.bleu, start=1)}
    return row | {named(key): _shown(value) for key, value in score.measures.items() if key in _METRICS}


def measure_table(info: CheckpointInfo) -> list[dict]:
    """A row for each further measure, with a column for each data set, split and beam width that was scored, and what
    it says."""
    columns = {
        f"{dataset.name} {split}, beam width {score.beam_size}": score.measures
        for dataset in info.training.datasets
        for split, scores in dataset.scores.items()
        for score in scores
    }
    keys = dict.fromkeys(key for numbers in columns.values() for key in numbers if key not in _METRICS)
    return [
        {"Measure": named(key)}
        | {name: _shown(numbers[key]) if key in numbers else "" for name, numbers in columns.items()}
        | {"What it says": explained(key)}
        for key in keys
    ]


def describe_limits(path: Path) -> str:
    """What the model card beside a checkpoint, of the same name, says it is bad at (Markdown); empty without a card."""
    try:
        text = path.with_suffix(".md").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    section = re.search(r"^## What it is bad at\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return section[1].strip() if section else ""


def _shown(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return f"{value:.2f}" if abs(value) < 1 else f"{value:.1f}"
