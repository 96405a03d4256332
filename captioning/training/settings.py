"""Settings of a training run; the defaults are the reference's."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StageSettings:
    """One stage.

    Attributes:
        epochs: passes over the train split.
        batch_size: photos in a batch, each with all its captions.
        learning_rate: of Adam; with the one-cycle schedule its highest.
        schedule: `constant` or `one-cycle`.
        label_smoothing: share of the target given to all words alike.
        attention_weight: of the doubly stochastic penalty.
        gradient_clip: largest norm of the gradient.
        mirror: train on mirror images too, but for photos whose captions speak of left or right.
    """

    epochs: int = 12
    batch_size: int = 25
    learning_rate: float = 4e-4
    schedule: str = "constant"
    label_smoothing: float = 0.0
    attention_weight: float = 1.0
    gradient_clip: float = 5.0
    mirror: bool = False
