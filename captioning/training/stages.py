"""The two stages of training: the decoder on a frozen encoder, then the encoder's last blocks with it."""

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar
from torch.utils.data import DataLoader

from captioning.checkpoint import load_checkpoint, read_info, save_checkpoint
from captioning.data.datasets import CaptionDataset, Example
from captioning.data.features import cached_features
from captioning.data.loaders import (
    FeatureDataset,
    LengthSortedSampler,
    PhotoDataset,
    SortishSampler,
    longest_captions,
    mentions_side,
    pad_collate,
)
from captioning.errors import CheckpointError, DatasetError
from captioning.evaluation.evaluate import evaluate
from captioning.inference.beam_search import SearchOptions
from captioning.inference.captioner import Captioner
from captioning.model.model import CaptioningModel, ModelConfig
from captioning.training.callbacks import EpochTable, KeepBest, RenamedCheckpoints
from captioning.training.settings import StageSettings
from captioning.training.task import CaptioningTask
from captioning.vocabulary import SPECIAL_TOKENS, Vocabulary, tokenize

BEAM_SIZES = (1, 3, 5)


@dataclass(frozen=True)
class Run:
    """Where a run keeps what, and what it starts from.

    Attributes:
        output: the checkpoint that is written at the end: the best epoch of all, scored.
        state: folder of what a run needs to be resumed, and of the best epoch of each stage.
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

    def last(self, stage: int) -> Path:
        """The state after a stage's last finished epoch."""
        return self.state / f"stage{stage}.ckpt"

    def best(self, stage: int) -> Path:
        """The checkpoint of a stage's best epoch."""
        return self.state / f"stage{stage}.safetensors"


class Split:
    """A split as training reads it.

    Attributes:
        photos: the files.
        tokens: for each photo its tokenized captions.
        may_mirror: for each photo whether its mirror image is as true.
    """

    def __init__(self, examples: Sequence[Example]):
        self.photos = [example.photo for example in examples]
        self.tokens = [[tokenize(caption) for caption in example.captions] for example in examples]
        self.may_mirror = [not mentions_side(captions) for captions in self.tokens]

    def ids(self, vocabulary: Vocabulary) -> list[list[list[int]]]:
        """For each photo its captions as lists of ids."""
        return [[vocabulary.encode(caption) for caption in captions] for captions in self.tokens]


def train(
    dataset: CaptionDataset, config: ModelConfig, stages: Sequence[StageSettings], min_frequency: int, run: Run
) -> None:
    """Train stage after stage, each from the best epoch of the one before, and write the best of all to `run.output`.

    Raises:
        DatasetError: a split is empty, or no word is frequent enough.
        CheckpointError: the encoder's weights or the state to resume from cannot be had, or the output is there.
    """
    train_split, dev_split = Split(dataset.split("train")), Split(dataset.split("dev"))
    vocabulary = Vocabulary.from_captions(
        (caption for captions in train_split.tokens for caption in captions), min_frequency
    )
    if len(vocabulary) == len(SPECIAL_TOKENS):
        raise DatasetError(f"No word occurs {min_frequency} times in the train captions: lower --min-frequency.")
    _check_places(run)
    record = {
        "dataset": {"name": dataset.name, **{split: len(examples) for split, examples in dataset.splits.items()}},
        "command": run.command,
        "seed": run.seed,
        "min_frequency": min_frequency,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "lightning": lightning.__version__,
        },
        "stages": [],
    }
    for number, settings in enumerate(stages, start=1):
        lightning.seed_everything(run.seed, verbose=False)
        if number == 1:
            model = CaptioningModel(config, len(vocabulary), pretrained=True)
        else:
            model, info = load_checkpoint(run.best(number - 1))
            record = info.training
        record["stages"].append({"stage": number, "settings": asdict(settings)})
        task = CaptioningTask(model, vocabulary, settings, dev_split.tokens, run.seed)
        _fit(task, train_split, dev_split, record, number, run)
    _write_best([run.best(number) for number in range(1, len(stages) + 1)], dataset, run.output)


def _check_places(run: Run) -> None:
    if run.resume and not run.last(1).is_file():
        raise CheckpointError(f"There is nothing to resume in {run.state}: run without --resume.")
    if run.last(1).is_file() and not run.resume:
        raise CheckpointError(f"{run.state} holds an earlier run: add --resume to go on, or name another --state.")
    if run.output.exists():
        raise CheckpointError(f"{run.output} is there already: name another --output.")


def _fit(task: CaptioningTask, train_split: Split, dev_split: Split, record: dict, number: int, run: Run) -> None:
    """Train one stage, from its beginning or from where it was interrupted."""
    settings, vocabulary = task.settings, task.vocabulary
    task.model.encoder.unfreeze(_last_blocks(task.model, settings.trained_blocks))
    train_set = _examples(task, train_split, run.cache, training=True)
    dev_set = _examples(task, dev_split, run.cache, training=False)
    print(f"Stage {number}: {settings.epochs} epochs, {settings.trained_blocks} blocks of the encoder trained.")
    trainer = lightning.Trainer(
        max_epochs=settings.epochs,
        gradient_clip_val=settings.gradient_clip,
        callbacks=[
            TQDMProgressBar(refresh_rate=10),
            EpochTable(),
            KeepBest(run.best(number), vocabulary, record),
            ModelCheckpoint(
                run.state,
                filename=run.last(number).stem,
                enable_version_counter=False,
                # Not after validation, as is its habit: the epoch's row would be missing from the state.
                save_on_train_epoch_end=True,
            ),
        ],
        plugins=[RenamedCheckpoints()],
        logger=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    lengths = [longest_captions(split.captions) for split in (train_set, dev_set)]
    # Lightning leaves the mode as it finds it, and a model that was loaded is in evaluation mode, without dropout.
    task.model.train()
    trainer.fit(
        task,
        _loader(train_set, SortishSampler(lengths[0], settings.batch_size, run.seed), settings.batch_size),
        _loader(dev_set, LengthSortedSampler(lengths[1]), settings.batch_size),
        ckpt_path=run.last(number) if run.last(number).is_file() else None,
        weights_only=True,
    )


def _last_blocks(model: CaptioningModel, count: int) -> range:
    blocks = model.encoder.block_count
    if count > blocks:
        raise DatasetError(f"The encoder {model.config.encoder} has {blocks} blocks: train {blocks} at the most.")
    return range(blocks - count, blocks)


def _examples(task: CaptioningTask, split: Split, cache: Path, *, training: bool) -> FeatureDataset | PhotoDataset:
    settings, model, ids = task.settings, task.model, split.ids(task.vocabulary)
    mirror = settings.mirror and training
    may_mirror = [mirror and may for may in split.may_mirror]
    if settings.trained_blocks:
        smallest_crop = settings.smallest_crop if training else 1.0
        return PhotoDataset(split.photos, ids, may_mirror, model.config.image_size, smallest_crop)
    return FeatureDataset(cached_features(cache, model, split.photos, mirror=mirror), ids, may_mirror)


def _loader(dataset: FeatureDataset | PhotoDataset, sampler, batch_size: int) -> DataLoader:
    # A generator of its own: a loader draws a number when it is made, and a resumed run makes it at another moment.
    return DataLoader(dataset, batch_size, sampler=sampler, collate_fn=pad_collate, generator=torch.Generator())


def _write_best(stages: Sequence[Path], dataset: CaptionDataset, output: Path) -> None:
    """Score the best stage's checkpoint on dev and test at each beam width, and write it with its scores."""
    best = max(stages, key=lambda path: read_info(path).training["stages"][-1]["epochs"][-1]["bleu4"])
    captioner = Captioner.from_checkpoint(best)
    scores = {
        split: [
            {"beam_size": score.beam_size, "bleu": [round(value, 2) for value in score.bleu]}
            for score in evaluate(captioner, dataset.split(split), BEAM_SIZES, SearchOptions())
        ]
        for split in ("dev", "test")
    }
    save_checkpoint(output, captioner.model, captioner.info.vocabulary, {**captioner.info.training, "scores": scores})
