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
        trained_blocks: how many of the encoder's last blocks are trained; with 0 its features come from the cache.
        smallest_crop: with trained blocks, the least share of a photo's area that a random crop keeps.

    Raises:
        ValueError: a setting is out of its range.
    """

    epochs: int = 12
    batch_size: int = 25
    learning_rate: float = 4e-4
    schedule: str = "constant"
    label_smoothing: float = 0.0
    attention_weight: float = 1.0
    gradient_clip: float = 5.0
    mirror: bool = False
    trained_blocks: int = 0
    smallest_crop: float = 1.0

    def __post_init__(self):
        if self.epochs < 1 or self.batch_size < 1:
            raise ValueError("a stage has at least one epoch and one photo in a batch")
        if not (self.learning_rate > 0 and self.gradient_clip > 0 and self.attention_weight >= 0):
            raise ValueError("learning rate and gradient clip must be above 0, the attention weight not below")
        if not (0 <= self.label_smoothing < 1 and 0 < self.smallest_crop <= 1 and self.trained_blocks >= 0):
            raise ValueError("label smoothing lies in [0, 1), the smallest crop in (0, 1], trained blocks from 0 up")
