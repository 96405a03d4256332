"""Plots of training: losses over the epochs, the search for a learning rate, scores over beam widths."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from captioning.files import replacing
from captioning.record import Score

# Okabe and Ito's colours, which colour-blind readers can distinguish.
BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"

# What every epoch needs to be compared with others and drawn.
DRAWN = frozenset({"epoch", "valid_loss", "score", "bleu4", "cider"})


def plot_epochs(rows: Sequence[Mapping], path: Path) -> None:
    """Draw the epochs of a stage: losses above, dev scores below, the best epoch marked.

    Raises:
        OSError: the picture cannot be written.
    """
    figure = Figure(figsize=(8, 6), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True)
    epochs = [row["epoch"] for row in rows]
    measure = "train_loss" if "train_loss" in rows[0] else "reward"
    for name, color in ((measure, BLUE), ("valid_loss", ORANGE)):
        upper.plot(epochs, [row[name] for row in rows], "o-", color=color, label=name.replace("_", " "))
    for name, color in (("score", GREEN), ("bleu4", BLUE), ("cider", ORANGE)):
        lower.plot(epochs, [row[name] for row in rows], "o-", color=color, label=name)
    best = max(rows, key=lambda row: (row["score"], row["epoch"]))
    lower.annotate(
        f"{best['score']:.2f}", (best["epoch"], best["score"]), (0, -14), textcoords="offset points", ha="center"
    )
    upper.legend(frameon=False)
    lower.legend(frameon=False)
    lower.set(xlabel="epoch", ylabel="dev, greedy")
    lower.xaxis.get_major_locator().set_params(integer=True)
    _save(figure, [upper, lower], path)


def plot_learning_rates(rates: Sequence[float], losses: Sequence[float], suggestion: float | None, path: Path) -> None:
    """Draw the losses of rising learning rates, with the rate marked where they fall most steeply.

    Raises:
        OSError: the picture cannot be written.
    """
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(rates, losses, color=BLUE)
    if suggestion is not None:
        axes.axvline(suggestion, color=ORANGE, linestyle="--", label=f"steepest fall: {suggestion:.1e}")
        axes.legend(frameon=False)
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss")
    _save(figure, [axes], path)


def plot_beam_scores(scores: Mapping[str, Sequence[Score]], path: Path) -> None:
    """Draw BLEU-4 and CIDEr of each split over the beam widths.

    Args:
        scores: for each split its rows, as in a checkpoint.
        path: of the picture.

    Raises:
        OSError: the picture cannot be written.
    """
    figure = Figure(figsize=(8, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for (split, rows), color in zip(scores.items(), (BLUE, ORANGE), strict=False):
        widths = [row.beam_size for row in rows]
        left.plot(widths, [row.bleu[3] for row in rows], "o-", color=color, label=split)
        right.plot(widths, [row.measures["cider"] for row in rows], "o-", color=color, label=split)
    left.set(xlabel="beam width", ylabel="BLEU-4", xticks=widths)
    right.set(xlabel="beam width", ylabel="CIDEr", xticks=widths)
    left.legend(frameon=False)
    _save(figure, [left, right], path)


def _save(figure: Figure, axes: Sequence[Axes], path: Path) -> None:
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
        each.grid(alpha=0.25)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
