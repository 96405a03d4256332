"""The first stage of training: the encoder frozen, the decoder trained on cached features."""

import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from torch.utils.data import DataLoader

from captioning.checkpoint import save_checkpoint
from captioning.data.datasets import CaptionDataset, Example
from captioning.data.features import cached_features
from captioning.data.loaders import FeatureDataset, LengthSortedSampler, SortishSampler, mentions_side, pad_collate
from captioning.errors import CheckpointError, DatasetError
from captioning.evaluation.evaluate import evaluate
from captioning.inference.beam_search import SearchOptions
from captioning.inference.captioner import Captioner
from captioning.model.model import CaptioningModel, ModelConfig
from captioning.training.settings import StageSettings
from captioning.training.task import CaptioningTask
from captioning.vocabulary import SPECIAL_TOKENS, Vocabulary, tokenize

BEAM_SIZES = (1, 3, 5)
COLUMNS = ("train_loss", "valid_loss", "top5", "bleu4")


@dataclass(frozen=True)
class Run:
    """Where a run keeps what, and what it starts from.

    Attributes:
        output: the checkpoint that is written whenever the dev BLEU-4 is better than before.
        state: folder of the state to resume from.
        cache: folder of the feature cache.
        seed: of every random choice.
        command: what was typed, kept in the checkpoint.
        resume: go on from the last finished epoch.
    """

    output: Path
    state: Path
    cache: Path
    seed: int
    command: str
    resume: bool


def train_first_stage(
    dataset: CaptionDataset, config: ModelConfig, settings: StageSettings, min_frequency: int, run: Run
) -> None:
    """Train a decoder on a frozen encoder and write its best epoch to `run.output`.

    Raises:
        DatasetError: a split is empty, or no word is frequent enough.
        CheckpointError: the encoder's weights or the state to resume from cannot be had.
    """
    train, dev = dataset.split("train"), dataset.split("dev")
    train_tokens, dev_tokens = _tokens(train), _tokens(dev)
    vocabulary = Vocabulary.from_captions((caption for photo in train_tokens for caption in photo), min_frequency)
    if len(vocabulary) == len(SPECIAL_TOKENS):
        raise DatasetError(f"No word occurs {min_frequency} times in the train captions: lower --min-frequency.")
    last = run.state / "last.ckpt"
    if run.resume and not last.is_file():
        raise CheckpointError(f"There is nothing to resume in {run.state}: run without --resume.")
    if run.output.exists() and not run.resume:
        raise CheckpointError(f"{run.output} is there already: name another --output, or go on with --resume.")

    lightning.seed_everything(run.seed, verbose=False)
    model = CaptioningModel(config, len(vocabulary), pretrained=True)
    train_features = cached_features(run.cache, model, [example.photo for example in train], mirror=settings.mirror)
    dev_features = cached_features(run.cache, model, [example.photo for example in dev], mirror=False)
    may_mirror = [not mentions_side(photo) for photo in train_tokens]
    train_set = FeatureDataset(train_features, _ids(train_tokens, vocabulary), may_mirror)
    dev_set = FeatureDataset(dev_features, _ids(dev_tokens, vocabulary), [False] * len(dev))

    record = {
        "dataset": {"name": dataset.name, **{split: len(dataset.splits[split]) for split in dataset.splits}},
        "command": run.command,
        "seed": run.seed,
        "min_frequency": min_frequency,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "lightning": lightning.__version__,
        },
        "stages": [{"name": "stage 1: encoder frozen", "settings": asdict(settings)}],
    }
    trainer = lightning.Trainer(
        max_epochs=settings.epochs,
        gradient_clip_val=settings.gradient_clip,
        callbacks=[
            TQDMProgressBar(refresh_rate=10),
            EpochTable(),
            KeepBest(run.output, vocabulary, record),
            ModelCheckpoint(run.state, filename="last", save_top_k=1, enable_version_counter=False),
        ],
        logger=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    task = CaptioningTask(model, vocabulary, settings, dev_tokens, run.seed)
    trainer.fit(
        task,
        _loader(train_set, SortishSampler(train_set.lengths(), settings.batch_size, run.seed), settings.batch_size),
        _loader(dev_set, LengthSortedSampler(dev_set.lengths()), settings.batch_size),
        ckpt_path=last if run.resume else None,
    )


def record_scores(path: Path, dataset: CaptionDataset) -> None:
    """Score a trained checkpoint on dev and test at each beam width, and write the scores into it."""
    captioner = Captioner.from_checkpoint(path)
    training = dict(captioner.info.training)
    training["scores"] = {
        split: [
            {"beam_size": score.beam_size, "bleu": [round(value, 2) for value in score.bleu]}
            for score in evaluate(captioner, dataset.split(split), BEAM_SIZES, SearchOptions())
        ]
        for split in ("dev", "test")
    }
    save_checkpoint(path, captioner.model, captioner.info.vocabulary, training)


class EpochTable(Callback):
    """Prints a row of metrics after each epoch and remembers them all."""

    def __init__(self):
        self.rows: list[dict] = []
        self._started = 0.0

    def on_train_epoch_start(self, trainer: lightning.Trainer, task: CaptioningTask) -> None:
        self._started = time.monotonic()

    def on_train_epoch_end(self, trainer: lightning.Trainer, task: CaptioningTask) -> None:
        metrics = {name: round(float(trainer.callback_metrics[name]), 4) for name in COLUMNS}
        seconds = round(time.monotonic() - self._started, 1)
        self.rows.append({"epoch": trainer.current_epoch + 1, **metrics, "seconds": seconds})
        if len(self.rows) == 1:
            trainer.print("".join(f"{name:>12}" for name in self.rows[0]))
        trainer.print("".join(f"{value:>12}" for value in self.rows[-1].values()), flush=True)

    def state_dict(self) -> dict:
        return {"rows": self.rows}

    def load_state_dict(self, state: dict) -> None:
        self.rows = state["rows"]


class KeepBest(Callback):
    """Writes the checkpoint whenever the generated dev captions score better than in every epoch before."""

    def __init__(self, output: Path, vocabulary: Vocabulary, record: dict):
        self.output, self.vocabulary, self.record = output, vocabulary, record

    def on_train_epoch_end(self, trainer: lightning.Trainer, task: CaptioningTask) -> None:
        rows = next(callback.rows for callback in trainer.callbacks if isinstance(callback, EpochTable))
        if rows[-1]["bleu4"] < max(row["bleu4"] for row in rows):
            return
        self.record["stages"][-1]["epochs"] = rows
        if trainer.is_global_zero:
            save_checkpoint(self.output, task.model, self.vocabulary, self.record)


def _tokens(examples: list[Example]) -> list[list[list[str]]]:
    return [[tokenize(caption) for caption in example.captions if tokenize(caption)] for example in examples]


def _ids(tokens: list[list[list[str]]], vocabulary: Vocabulary) -> list[list[list[int]]]:
    return [[vocabulary.encode(caption) for caption in photo] for photo in tokens]


def _loader(dataset: FeatureDataset, sampler, batch_size: int) -> DataLoader:
    return DataLoader(dataset, batch_size, sampler=sampler, collate_fn=pad_collate)
