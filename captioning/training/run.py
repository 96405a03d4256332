"""A training run: its stages (decoder; the encoder's last blocks with it; self-critical), each from the one before."""

import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import EarlyStopping, TQDMProgressBar

from captioning.checkpoint import read_info
from captioning.config import ModelConfig
from captioning.data.datasets import CaptionDataset
from captioning.data.held_out import without_held_out
from captioning.data.word_vectors import read_word_vectors
from captioning.errors import CheckpointError, DatasetError
from captioning.files import holding, remedy
from captioning.model.model import CaptioningModel, as_stored, load_model, save_model
from captioning.record import StageRecord, TrainingRecord
from captioning.training.callbacks import EpochTable, Interrupt, KeepBest, SaveState, StopDiverged
from captioning.training.data import Split, dev_loader, train_loader
from captioning.training.learning_rate import search_learning_rate
from captioning.training.plots import plot_epochs
from captioning.training.preflight import (
    VERSIONS,
    check_same,
    check_stages,
    check_state,
    check_unfinished,
    check_writable,
    is_begun,
    run_fingerprint,
)
from captioning.training.scores import score_stages
from captioning.training.self_critical import SelfCriticalTask
from captioning.training.settings import RunSettings, StageSettings, stages_to_train
from captioning.training.task import CaptioningTask
from captioning.training.trainer import make_trainer, tensorboard_logger
from captioning.vocabulary import SPECIAL_TOKENS, TOKENIZER, Vocabulary


class TrainingRun:
    """Trains stages one after the other, each from the best epoch of the one before.

    Creating it checks everything that can be checked before the first epoch.

    Args:
        datasets: one or several to train on together, each with train and dev splits.
        config: of the model; the embedding's size gives way to that of word vectors.
        stages: for each stage to train, by its number, its settings.
        run: its other settings: words, files and devices.

    Raises:
        DatasetError: a split is empty, no word is frequent enough, or the settings do not suit the data.
        CheckpointError: the encoder's weights or the checkpoint to start from cannot be loaded, or the disk is full.
        CaptioningError: there is no such device or precision.
    """

    def __init__(
        self,
        datasets: Sequence[CaptionDataset],
        config: ModelConfig,
        stages: Mapping[int, StageSettings],
        run: RunSettings,
    ):
        self.stages, self.run = stages, run
        check_writable(run)
        self.datasets = _learned_as_one(datasets)
        tokenizer = read_info(run.start).vocabulary.tokenizer if run.start else TOKENIZER
        self._train, self._dev = (Split(self.datasets, name, tokenizer) for name in ("train", "dev"))
        self._seed()
        if run.start:
            self._model, info = load_model(run.start)
            self.vocabulary = info.vocabulary.with_repeatable(chain.from_iterable(self._train.tokens))
            self._record = info.training
        else:
            self.vocabulary = _frequent_words(self._train, run.min_frequency)
            self._model = self._new_model(config)
            # As a checkpoint holds it, so that a stage that starts from one reads the features that this one caches.
            for tensor in self._model.encoder.state_dict().values():
                tensor.copy_(torch.from_numpy(as_stored(tensor)))
            self._record = TrainingRecord(min_frequency=run.min_frequency)
        # Data sets and scores of the checkpoint to start from are not those of this run.
        self._record.datasets = [dataset.about for dataset in self.datasets]
        self.numbers = stages_to_train(stages, self._record)
        check_stages({number: stages[number] for number in self.numbers}, self._model, len(self._train.photos), run)
        # Lightning looks for the devices when a trainer is made.
        self._is_first_process = make_trainer(stages[self.numbers[0]], run).is_global_zero

    def train(self) -> None:
        """Train the stages that this run has not finished yet, and write the best checkpoint of all, scored.

        Raises:
            CheckpointError: there is nothing to resume, an earlier run would be overwritten, or the disk is full.
            Stopped: Ctrl-C was pressed, and the state is saved.
        """
        with _sole_writer(self.run) if self._is_first_process else nullcontext():
            check_unfinished(self.run)
            if self._is_first_process:
                fingerprint = run_fingerprint(self.datasets, self._model.config, self.vocabulary, self.stages, self.run)
                check_same(self.run, fingerprint)
            for number in self.numbers:
                if not self._has_finished(number):
                    self._fit(number)
            if self._is_first_process:
                candidates = [self.run.start] if self.run.start else []
                candidates += [self.run.best(number) for number in self.numbers]
                score_stages(candidates, self.datasets, self.run)

    def find_learning_rate(self, number: int) -> tuple[str, Path]:
        """Search a learning rate for a stage; see `search_learning_rate`.

        Returns:
            What the search suggests, in words; and the picture.

        Raises:
            CheckpointError: this run does not train the stage, or the one before it has not been trained.
        """
        if number not in self.numbers:
            raise CheckpointError(f"This run does not train stage {number}: see --start and --stages.")
        picture = self.run.folder / f"lr_find_stage{number}.png"
        return search_learning_rate(self._task(number), self._train, self.run, picture), picture

    def _has_finished(self, number: int) -> bool:
        best = self.run.best(number)
        # The last stage recorded is the one that wrote the file; an earlier one may have had the same number.
        return best.exists() and read_info(best).training.stages[-1].finished

    def _fit(self, number: int) -> None:
        """Train one stage, from its beginning or from where it was interrupted."""
        run, task = self.run, self._task(number)
        settings, table, state = task.settings, EpochTable(run.table(number)), run.state(number)
        if state.exists():
            check_state(state, number, task)
        self._record.stages.append(
            StageRecord(stage=number, command=run.command, seed=run.seed, versions=VERSIONS, settings=asdict(settings))
        )
        print(f"Stage {number}: {settings.epochs} epochs, {settings.trained_blocks} blocks of the encoder trained.")
        interrupt = Interrupt()
        callbacks = [
            TQDMProgressBar(refresh_rate=10),
            StopDiverged(number),
            table,
            KeepBest(run.best(number), self.vocabulary, self._record, table),
            SaveState(state, number, run.save_every, lambda: interrupt.asked),
        ]
        if settings.patience:
            callbacks.append(EarlyStopping("score", mode="max", patience=settings.patience))
        trainer = make_trainer(settings, run, callbacks, tensorboard_logger(run.folder, number))
        # Lightning would move it after features are cached.
        task.to(trainer.strategy.root_device)
        # Features are cached here. Ctrl-C stops that at once: there is no state to save, and cached features stay.
        loaders = (
            train_loader(task, self._train, run.cache, trainer),
            dev_loader(task, self._dev, run.cache, trainer),
        )
        # Lightning leaves the mode as it finds it, and a model that was loaded is in evaluation mode.
        task.model.train()
        with interrupt:
            trainer.fit(task, *loaders, ckpt_path=state if state.exists() else None, weights_only=True)
        trainer.strategy.barrier()
        if trainer.is_global_zero:
            model, info = load_model(run.best(number))
            plot_epochs(table.rows, run.loss_plot(number))
            # Last, because this marks the stage as finished.
            stage = info.training.stages[-1]
            stage.epochs, stage.finished = table.rows, True
            save_model(run.best(number), model, info.vocabulary, info.training)
        trainer.strategy.barrier()

    def _task(self, number: int) -> CaptioningTask:
        """A stage ready to train, from the model that the stage before it left."""
        place = self.numbers.index(number)
        if place:
            self._model, info = load_model(self.run.best(self.numbers[place - 1]))
            self._record = info.training
        self._seed()
        settings = self.stages[number]
        blocks = self._model.encoder.block_count
        self._model.encoder.unfreeze(range(blocks - settings.trained_blocks, blocks))
        self._model.decoder.embedding.requires_grad_(not self.run.freeze_embedding)
        photos_a_step = settings.batch_size * self.run.devices * self.run.num_nodes
        steps = math.ceil(len(self._train.photos) / photos_a_step)
        dev = (self._dev.tokens, self._dev.places)
        arguments = (self._model, self.vocabulary, settings, *dev, steps, self.run.seed)
        if settings.samples:
            return SelfCriticalTask(*arguments, train_captions=self._train.ids(self.vocabulary))
        return CaptioningTask(*arguments)

    def _seed(self) -> None:
        lightning.seed_everything(self.run.seed, verbose=False)

    def _new_model(self, config: ModelConfig) -> CaptioningModel:
        if self.run.word_vectors is None:
            return CaptioningModel(config, len(self.vocabulary), pretrained=True)
        vectors, found = read_word_vectors(self.run.word_vectors, self.vocabulary, self.run.seed)
        print(f"Word vectors: {found} of {len(self.vocabulary)} words found, {vectors.shape[1]} dimensions.")
        config = replace(config, embedding_size=vectors.shape[1])
        model = CaptioningModel(config, len(self.vocabulary), pretrained=True)
        model.decoder.embedding.weight.data.copy_(torch.from_numpy(vectors))
        return model


@contextmanager
def _sole_writer(run: RunSettings) -> Iterator[None]:
    """Lock the run's folder while the block runs; what cannot be written there is reported in one sentence.

    Raises:
        CheckpointError: another run holds the folder, or the disk is full.
    """

    def refuse() -> None:
        raise CheckpointError(f"Another run is writing to {run.folder}: wait for it, or name another --run.")

    try:
        with holding(run.folder, refuse), _quiet_threads():
            yield
    except OSError as error:
        again = "the same with --resume" if is_begun(run) else "the same"
        raise CheckpointError(
            f"The run cannot be written to {run.folder} ({error.strerror or error}): "
            f"{remedy(error)}, and run {again} again."
        ) from None


@contextmanager
def _quiet_threads() -> Iterator[None]:
    """Let TensorBoard's thread end without a traceback where it cannot write; it reports to the main thread anyway."""
    before = threading.excepthook
    threading.excepthook = lambda failed: None if issubclass(failed.exc_type, OSError) else before(failed)
    try:
        yield
    finally:
        threading.excepthook = before


def _learned_as_one(datasets: Sequence[CaptionDataset]) -> list[CaptionDataset]:
    """The data sets, without those train photos of one that another holds out.

    Raises:
        DatasetError: two have the same name.
        ImageError: a photo cannot be read.
    """
    if len(datasets) == 1:
        return list(datasets)
    names = [dataset.key for dataset in datasets]
    if len(set(names)) < len(names):
        raise DatasetError(f"Two of the data sets have one name ({', '.join(names)}): name each of them once.")
    apart = without_held_out(datasets)
    for before, after in zip(datasets, apart, strict=True):
        count, photos = before.sizes["train"] - after.sizes["train"], before.sizes["train"]
        if count:
            print(f"{count} of {photos:,} train photos of {before.name} left out: another data set holds them out.")
    return apart


def _frequent_words(split: Split, min_frequency: int) -> Vocabulary:
    vocabulary = Vocabulary.from_captions(chain.from_iterable(split.tokens), min_frequency)
    if len(vocabulary) == len(SPECIAL_TOKENS):
        raise DatasetError(f"No word occurs {min_frequency} times in the train captions: lower --min-frequency.")
    return vocabulary
