"""Lightning's trainer as the stages use it."""

import importlib.util
import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import lightning
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy, Strategy

from captioning.errors import CaptioningError
from captioning.training.callbacks import RenamedCheckpoints
from captioning.training.settings import RunSettings, StageSettings

# How long a process may wait for another, for example while features are cached.
LONGEST_WAIT = timedelta(days=1)
# What each of several machines needs to find the others, where no cluster's own launcher sets it.
MEETING = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK")


def make_trainer(
    settings: StageSettings,
    run: RunSettings,
    callbacks: Sequence[Callback] = (),
    logger: TensorBoardLogger | bool = False,
) -> lightning.Trainer:
    """A trainer of one stage on the run's devices; without callbacks it shows and keeps nothing.

    Raises:
        CaptioningError: there are no such devices, they have no such precision, or machines would not find each other.
    """
    several = run.devices * run.num_nodes > 1
    try:
        trainer = lightning.Trainer(
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
    if run.num_nodes > 1:
        _check_meeting(trainer.strategy)
    return trainer


def _check_meeting(strategy: Strategy) -> None:
    """Check that this machine knows where the others are; else it would wait for them without a word."""
    launched = isinstance(strategy, DDPStrategy) and isinstance(strategy.cluster_environment, LightningEnvironment)
    missing = [name for name in MEETING if name not in os.environ]
    if launched and missing:
        raise CaptioningError(
            f"Machines do not find each other without {', '.join(missing)}: set on each MASTER_ADDR and MASTER_PORT, "
            "an address and a free port of the first, and NODE_RANK, its own number from 0."
        )


def tensorboard_logger(folder: Path, stage: int) -> TensorBoardLogger | bool:
    """Logs for TensorBoard, where it is installed."""
    if importlib.util.find_spec("tensorboard") is None:
        return False
    return TensorBoardLogger(folder, name="tensorboard", version=f"stage{stage}")
