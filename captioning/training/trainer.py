"""Lightning's trainer as the stages use it."""

import importlib.util
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import lightning
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy

from captioning.errors import CaptioningError
from captioning.training.callbacks import RenamedCheckpoints
from captioning.training.settings import RunSettings, StageSettings

# How long a process may wait for another, for example while features are cached.
LONGEST_WAIT = timedelta(days=1)


def make_trainer(
    settings: StageSettings,
    run: RunSettings,
    callbacks: Sequence[Callback] = (),
    logger: TensorBoardLogger | bool = False,
) -> lightning.Trainer:
    """A trainer of one stage on the run's devices; without callbacks it shows and keeps nothing.

    Raises:
        CaptioningError: there are no such devices, or they have no such precision.
    """
    several = run.devices * run.num_nodes > 1
    try:
        return lightning.Trainer(
            devices=run.devices,
            num_nodes=run.num_nodes,
            precision=run.precision,  # pyright: ignore[reportArgumentType] (its choices are some of Lightning's)
            # Batch norm keeps its statistics, so there are no buffers to broadcast.
            strategy=DDPStrategy(broadcast_buffers=False, timeout=LONGEST_WAIT) if several else "auto",
            use_distributed_sampler=False,
            max_epochs=settings.epochs,
            gradient_clip_val=settings.gradient_clip,
            callbacks=list(callbacks),
            plugins=[RenamedCheckpoints()],
            logger=logger,
            default_root_dir=run.folder,
            enable_checkpointing=bool(callbacks),
            enable_progress_bar=bool(callbacks),
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        raise CaptioningError(
            f"Training cannot run on {run.devices} × {run.num_nodes} devices in {run.precision} ({error}): "
            "choose others with --devices, --num-nodes and --precision."
        ) from None


def tensorboard_logger(folder: Path, stage: int) -> TensorBoardLogger | bool:
    """Logs for TensorBoard, where it is installed."""
    if importlib.util.find_spec("tensorboard") is None:
        return False
    return TensorBoardLogger(folder, name="tensorboard", version=f"stage{stage}")
