"""Settings of a training run; the defaults are the reference's."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StageSettings:
    """One stage.

    Attributes:
        epochs: passes over the train split.
        batch_size: photos in a batch, each with all its captions; on each device.
        learning_rate: of Adam; with the one-cycle schedule its highest.
        schedule: `constant` or `one-cycle` (Smith and Topin, 2018): up over the first 30 % of the steps and then down,
            the momentum the other way.
        label_smoothing: share of the target given to all words alike.
        attention_weight: of the doubly stochastic penalty.
        gradient_clip: largest norm of the gradient.
        mirror: train on mirror images too, but for photos whose captions speak of left or right.
        teacher_forcing: how likely a word is read from the caption in the last epoch, falling from 1 in the first.
        averaging: decay of the exponential moving average of the weights that is scored and kept; 0 averages nothing.
        patience: epochs without a better score after which the stage ends; None for no such end.
        trained_blocks: how many of the encoder's last blocks are trained; with 0 its features come from the cache.
        smallest_crop: with trained blocks, the least share of a photo's area that a random crop keeps.
        samples: captions sampled a photo in self-critical training; with 0 it is the references that are learned.
        bleu_reward: in self-critical training, the weight of a caption's BLEU-4 beside its CIDEr-D.

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
    teacher_forcing: float = 1.0
    averaging: float = 0.0
    patience: int | None = None
    trained_blocks: int = 0
    smallest_crop: float = 1.0
    samples: int = 0
    bleu_reward: float = 0.0

    def __post_init__(self):
        if self.epochs < 1 or self.batch_size < 1:
            raise ValueError("a stage has at least one epoch and one photo in a batch")
        if not (self.learning_rate > 0 and self.gradient_clip > 0 and self.attention_weight >= 0):
            raise ValueError("learning rate and gradient clip must be above 0, the attention weight not below")
        if not (0 <= self.label_smoothing < 1 and 0 < self.smallest_crop <= 1 and self.trained_blocks >= 0):
            raise ValueError("label smoothing lies in [0, 1), the smallest crop in (0, 1], trained blocks from 0 up")
        if not (0 <= self.teacher_forcing <= 1 and 0 <= self.averaging < 1):
            raise ValueError("the share of teacher forcing lies in [0, 1], the decay of averaging in [0, 1)")
        if self.patience is not None and self.patience < 1:
            raise ValueError("patience is at least one epoch")
        if self.samples < 0 or self.samples == 1 or self.bleu_reward < 0:
            raise ValueError("self-critical training compares at least two samples, with a BLEU reward from 0 up")

    def teacher_forcing_at(self, epoch: int) -> float:
        """How likely a word is read from the caption in this epoch, counted from 0."""
        return 1 - (1 - self.teacher_forcing) * epoch / max(self.epochs - 1, 1)
