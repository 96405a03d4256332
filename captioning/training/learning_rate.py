"""The search for a learning rate (Smith, 2017, *Cyclical Learning Rates for Training Neural Networks*)."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lightning.pytorch.tuner.tuning import Tuner

from captioning.training.data import Split, train_loader
from captioning.training.plots import plot_learning_rates
from captioning.training.settings import RunSettings
from captioning.training.task import CaptioningTask
from captioning.training.trainer import make_trainer

SEARCHED_RATES = 100
# The first and last of them that are not suggested.
SKIPPED_RATES = (10, 1)


def search_learning_rate(task: CaptioningTask, train: Split, run: RunSettings, picture: Path) -> str:
    """Train on batches at rising learning rates, and draw the loss against them.

    A train split of fewer batches is used several times. Words are always read from the captions (teacher forcing), so
    that a loss depends on the rate alone.

    Args:
        task: a stage ready to train; its model is changed.
        train: the split.
        run: where features are cached, and the devices.
        picture: where the drawing is written.

    Returns:
        See `describe_search`.
    """
    task.model.train()
    epochs = math.ceil(SEARCHED_RATES / task.steps_per_epoch)
    task.settings = replace(task.settings, epochs=epochs, teacher_forcing=1.0)
    trainer = make_trainer(task.settings, run)
    task.to(trainer.strategy.root_device)
    loader = train_loader(task, train, run.cache, trainer)
    finder = Tuner(trainer).lr_find(task, loader, num_training=SEARCHED_RATES, update_attr=False)
    assert finder is not None
    rates, losses = finder.results["lr"], finder.results["loss"]
    suggestion = finder.suggestion(*SKIPPED_RATES)
    plot_learning_rates(rates, losses, suggestion, picture)
    return describe_search(rates, losses, suggestion)


def describe_search(rates: Sequence[float], losses: Sequence[float], suggestion: float | None) -> str:
    """Which rate a search suggests, how far that can be trusted, or why it suggests none.

    Args:
        rates: that were tried, rising.
        losses: at each of them.
        suggestion: where the loss falls most steeply; None where too few losses are finite.
    """
    first, last = SKIPPED_RATES[0], len(rates) - 1 - SKIPPED_RATES[1]
    if suggestion is None:
        return f"none, for the loss diverged within {len(rates)} batches: try a larger --batch-size"
    place = rates.index(suggestion)
    if losses[place + 1] >= losses[place - 1]:
        return "none, for the loss falls at no rate: try more photos, or another --seed"
    if place in (first, last):
        return (
            f"none, for the loss falls most steeply at {suggestion:.1e}, an edge of the rates searched, which is often "
            "chance: choose one where the curve falls"
        )
    return f"{suggestion:.1e}"
