"""What happens around steps and epochs: rows of metrics, the best epoch and the state kept, divergence and Ctrl-C."""

import csv
import io
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from captioning.errors import CaptioningError
from captioning.files import replacing
from captioning.model.model import save_model
from captioning.record import TrainingRecord
from captioning.training.task import GREEDY, CaptioningTask
from captioning.vocabulary import Vocabulary


class RenamedCheckpoints(TorchCheckpointIO):
    """Writes a state beside its place and renames it there, so that a kill in between leaves the one before.

    Lightning writes to the system's folder for temporary files, where a kill would leave the file for good.
    """

    def save_checkpoint(self, checkpoint: dict, path: str, storage_options: object = None) -> None:
        # In memory first, because torch does not report a full disk.
        state = io.BytesIO()
        torch.save(checkpoint, state)
        with replacing(Path(path)) as temporary:
            temporary.write_bytes(state.getbuffer())


class StopDiverged(Callback):
    """Stops a stage whose loss or weights are no longer numbers, before such a state is saved.

    Args:
        stage: its number.

    Raises:
        CaptioningError: they are not.
    """

    def __init__(self, stage: int):
        self.stage = stage

    def on_train_batch_end(self, trainer: lightning.Trainer, task: CaptioningTask, outputs: Any, *_: object) -> None:
        self._check(trainer, [outputs["loss"]])

    def on_validation_start(self, trainer: lightning.Trainer, task: CaptioningTask) -> None:
        self._check(trainer, task.parameters())

    def _check(self, trainer: lightning.Trainer, tensors: Iterable[torch.Tensor]) -> None:
        if not all(tensor.isfinite().all() for tensor in tensors):
            raise CaptioningError(
                f"Stage {self.stage} has diverged at step {trainer.global_step}, where its loss is no number: start "
                "again in another --run, with a smaller learning rate or smaller weights in the loss."
            )


class EpochTable(Callback):
    """Prints a row of metrics after each epoch and what it warns of, and writes all rows as CSV.

    Args:
        path: of the CSV file.
    """

    def __init__(self, path: Path):
        self.path = path
        self.rows: list[dict] = []
        self._seconds = 0.0
        self._since = 0.0

    def on_train_start(self, trainer: lightning.Trainer, task: CaptioningTask) -> None:
        self._since = time.monotonic()

    def on_train_epoch_start(self, trainer: lightning.Trainer, task: CaptioningTask) -> None:
        self._since = time.monotonic()

    def on_train_epoch_end(self, trainer: lightning.Trainer, task: CaptioningTask) -> None:
        names = (task.measure, "valid_loss", "top5", *task.dev_scores, "movement")
        metrics = {name: round(float(trainer.callback_metrics[name]), 4) for name in names}
        self.rows.append({"epoch": trainer.current_epoch + 1, **metrics, "seconds": round(self._elapsed(), 1)})
        self._seconds = 0.0
        # The progress bar leaves the cursor at the end of its line.
        trainer.print()
        widths = [max(12, len(name) + 2) for name in self.rows[-1]]
        for cells in (self.rows[-1], self.rows[-1].values()):
            trainer.print("".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)), flush=True)
        for warning in warnings_of(self.rows[-1], len(task.references)):
            trainer.print(warning, flush=True)
        if trainer.is_global_zero:
            write_table(self.path, self.rows)

    def state_dict(self) -> dict:
        return {"rows": self.rows, "seconds": self._elapsed()}

    def load_state_dict(self, state: dict) -> None:
        self.rows, self._seconds = state["rows"], state["seconds"]

    def _elapsed(self) -> float:
        """Seconds of this epoch, those before an interruption included."""
        now = time.monotonic()
        self._seconds += now - self._since
        self._since = now
        return self._seconds


def warnings_of(row: Mapping[str, float], photos: int) -> Iterator[str]:
    """Signs in an epoch's row that training goes wrong, each as a sentence that says what it means and what to try.

    The first epoch may end before BLEU-4 and attention have begun to rise, so these are judged from the second on.

    Args:
        row: as the table has it.
        photos: how many the dev split has.
    """
    if photos > 1 and row["distinct"] <= max(1, photos // 100):
        yield (
            f"Warning: the number of distinct captions of {photos} dev photos is {row['distinct']:g}, so the model "
            "does not heed the photo: try a lower learning rate, and see that each photo has captions of its own."
        )
    if row["words"] >= 0.9 * GREEDY.max_steps:
        yield (
            f"Warning: captions have {row['words']:.1f} words, near the limit of {GREEDY.max_steps}, so the model does "
            "not learn to end them: try a lower learning rate, and see that captions of the data are single sentences."
        )
    if row["epoch"] > 1 and row["bleu4"] == 0:
        yield (
            "Warning: BLEU-4 is 0, so no four words in a row are those of a reference: try another learning rate "
            "(--find-lr), more photos, or a lower --min-frequency."
        )
    if row["epoch"] > 1 and row["movement"] < 0.01:
        yield (
            f"Warning: the attention moves by {row['movement']:.3f} from word to word (0 is not at all), so it tells "
            "nothing about where words come from: try a lower --attention-weight, or another learning rate."
        )


def write_table(path: Path, rows: list[dict]) -> None:
    """Write rows as CSV."""
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        # Of all rows, for those of a run begun with an older version lack some columns.
        writer = csv.DictWriter(file, dict.fromkeys(name for row in rows for name in row))
        writer.writeheader()
        writer.writerows(rows)


class KeepBest(Callback):
    """Writes a checkpoint whenever the generated dev captions score better than in every epoch of the stage before."""

    def __init__(self, path: Path, vocabulary: Vocabulary, record: TrainingRecord, table: EpochTable):
        self.path, self.vocabulary, self.record, self.table = path, vocabulary, record, table

    def on_train_epoch_end(self, trainer: lightning.Trainer, task: CaptioningTask) -> None:
        rows = self.table.rows
        if rows[-1]["score"] < max(row["score"] for row in rows):
            return
        stage = self.record.stages[-1]
        stage.epochs, stage.best_epoch = rows, rows[-1]["epoch"]
        if trainer.is_global_zero:
            save_model(self.path, task.scored_model, self.vocabulary, self.record)


class Stopped(Exception):  # noqa: N818 (it is not an error)
    """Training was asked to stop, and its state is saved."""


class Interrupt:
    """While it is entered, the first Ctrl-C only asks to stop, at the next step or after validation; another stops."""

    def __init__(self):
        self.asked = False

    def __enter__(self) -> "Interrupt":
        self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _ask(self, number: int, frame: object) -> None:
        self.asked = True
        print("\nStopping after this step …", flush=True)
        signal.signal(signal.SIGINT, self._before)


class SaveState(Checkpoint):
    """Saves what a run needs to be resumed: after every epoch, at intervals within one, and when it is asked to stop.

    As a `Checkpoint` it is called after all other callbacks, whose states are saved too.

    Args:
        path: of the state.
        stage: its number, which the state names.
        interval: seconds between states within an epoch.
        stop_asked: whether the run is to stop.
    """

    def __init__(self, path: Path, stage: int, interval: float, stop_asked: Callable[[], bool]):
        self.path, self.stage, self.interval, self.stop_asked = path, stage, interval, stop_asked
        self._saved = time.monotonic()
        self._ended = False

    def on_train_start(self, trainer: lightning.Trainer, task: CaptioningTask) -> None:
        # A stage that early stopping ended stays ended.
        trainer.should_stop = self._ended

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: object) -> None:
        loader: Any = trainer.train_dataloader
        loader.done = trainer.fit_loop.epoch_loop.batch_idx + 1
        # The state after an epoch's last step is saved with its scores.
        if trainer.is_last_batch:
            return
        stop, due = trainer.strategy.broadcast((self.stop_asked(), time.monotonic() - self._saved >= self.interval))
        if stop or due:
            self._save(trainer)
        if stop:
            raise Stopped

    def on_train_epoch_end(self, trainer: lightning.Trainer, task: CaptioningTask) -> None:
        self._ended = trainer.should_stop
        self._save(trainer)
        if trainer.strategy.broadcast(self.stop_asked()):
            raise Stopped

    def state_dict(self) -> dict:
        return {"stage": self.stage, "ended": self._ended}

    def load_state_dict(self, state: dict) -> None:
        self._ended = state["ended"]

    def _save(self, trainer: lightning.Trainer) -> None:
        trainer.save_checkpoint(self.path, weights_only=False)
        self._saved = time.monotonic()
