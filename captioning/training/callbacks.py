"""What happens around an epoch: its row of metrics, the best one kept, the state written safely."""

import time
from pathlib import Path

import lightning
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.io import TorchCheckpointIO

from captioning.checkpoint import save_checkpoint
from captioning.training.task import CaptioningTask
from captioning.vocabulary import Vocabulary

COLUMNS = ("train_loss", "valid_loss", "top5", "bleu4")


class RenamedCheckpoints(TorchCheckpointIO):
    """Writes a state beside its place and renames it there, so that a kill in between leaves the one before."""

    def save_checkpoint(self, checkpoint: dict, path: str, storage_options: object = None) -> None:
        temporary = f"{path}.tmp"
        super().save_checkpoint(checkpoint, temporary, storage_options)
        Path(temporary).replace(path)


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
        # The progress bar leaves the cursor at the end of its line.
        trainer.print()
        trainer.print("".join(f"{name:>12}" for name in self.rows[0]))
        trainer.print("".join(f"{value:>12}" for value in self.rows[-1].values()), flush=True)

    def state_dict(self) -> dict:
        return {"rows": self.rows}

    def load_state_dict(self, state: dict) -> None:
        self.rows = state["rows"]


class KeepBest(Callback):
    """Writes a checkpoint whenever the generated dev captions score better than in every epoch of the stage before."""

    def __init__(self, path: Path, vocabulary: Vocabulary, record: dict):
        self.path, self.vocabulary, self.record = path, vocabulary, record

    def on_train_epoch_end(self, trainer: lightning.Trainer, task: CaptioningTask) -> None:
        rows = next(callback.rows for callback in trainer.callbacks if isinstance(callback, EpochTable))
        if rows[-1]["bleu4"] < max(row["bleu4"] for row in rows):
            return
        self.record["stages"][-1]["epochs"] = rows
        if trainer.is_global_zero:
            save_checkpoint(self.path, task.model, self.vocabulary, self.record)
