"""Settings of a training run; the model's are in `captioning.config`. The defaults are the reference's."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from captioning.record import TrainingRecord
from captioning.settings import check, setting


@dataclass(frozen=True)
class SharedSettings:
    """What the stages of a run have in common.

    Raises:
        ValueError: a setting has another type, or is out of its range.
    """

    label_smoothing: float = setting(0.0, "share of the target given to all words alike", least=0, below=1)
    attention_weight: float = setting(1.0, "weight of the doubly stochastic penalty", least=0)
    gradient_clip: float = setting(5.0, "largest norm of the gradient", above=0)
    mirror: bool = setting(False, "train on mirror images too, unless a photo's captions speak of left or right")
    teacher_forcing: float = setting(
        1.0,
        "how likely a word is read from the caption in the last epoch, falling from 1 in the first",
        least=0,
        most=1,
    )
    ema_decay: float = setting(
        0.0,
        "decay of the exponential moving average of the weights that is scored and kept; 0 switches it off",
        least=0,
        below=1,
        aliases=("averaging",),
    )
    quantization_aware: bool = setting(
        False, "compute the encoder as in int8, so that the model learns to bear its rounding; features are not cached"
    )
    patience: int | None = setting(None, "epochs without a better score after which a stage ends", least=1)

    def __post_init__(self):
        check(self)


@dataclass(frozen=True)
class StageSettings(SharedSettings):
    """One stage; `stage` names the one whose flags need no stage in their name.

    With the one-cycle schedule (Smith and Topin, 2018) the learning rate rises over the first 30 % of the steps and
    falls after that, the momentum the other way.
    """

    epochs: int = setting(12, "passes over the train split", least=1, most=1000, stage=1)
    batch_size: int = setting(25, "photos in a batch, each with all its captions, on each device", least=1, stage=1)
    learning_rate: float = setting(4e-4, "learning rate of Adam; the highest one of one-cycle", above=0, stage=1)
    schedule: str = setting("constant", "how the learning rate changes", choices=("constant", "one-cycle"), stage=1)
    trained_blocks: int = setting(
        0, "how many of the encoder's last blocks are trained; with 0 its features are cached", least=0, stage=2
    )
    smallest_crop: float = setting(
        1.0,
        "where features are not cached, the least share of a photo's area that a random crop keeps",
        above=0,
        most=1,
        stage=2,
    )
    samples: int = setting(
        0, "captions sampled for each photo in self-critical training; 0 trains on the references", least=0, stage=3
    )
    bleu_reward: float = setting(
        0.0, "in self-critical training, the weight of a caption's BLEU-4 beside its CIDEr-D", least=0, stage=3
    )

    def __post_init__(self):
        super().__post_init__()
        if self.samples == 1:
            raise ValueError("samples must be 0 or at least 2, because self-critical training compares samples")

    @property
    def uses_cache(self) -> bool:
        """Whether the encoder gives the same features in every epoch, so that they are computed once."""
        return not (self.trained_blocks or self.quantization_aware)

    def teacher_forcing_at(self, epoch: int) -> float:
        """How likely a word is read from the caption in this epoch, counted from 0."""
        return 1 - (1 - self.teacher_forcing) * epoch / max(self.epochs - 1, 1)


# The stages by number, with what each of them starts from.
STAGES = {
    1: StageSettings(),
    2: StageSettings(epochs=10, batch_size=5, learning_rate=1e-4, schedule="one-cycle", trained_blocks=3),
    3: StageSettings(epochs=5, learning_rate=5e-5, samples=5),
}


def stages_to_train(named: Iterable[int], record: TrainingRecord) -> list[int]:
    """Those of the named stages that a checkpoint's record lacks; all again, for more epochs, where it lacks none."""
    finished = {stage.stage for stage in record.stages}
    return sorted(set(named) - finished) or sorted(named)


@dataclass(frozen=True)
class RunSettings:
    """The data of a run, its files, and how it runs.

    Attributes:
        command: what was typed, kept in the checkpoint.

    Raises:
        ValueError: a setting has another type, or is out of its range.
    """

    data: tuple[Path, ...] = setting((), "folders or files of data sets, learned from as one")
    output: Path = setting(
        Path("checkpoints/model.safetensors"), "checkpoint written at the end: the best epoch of all stages, scored"
    )
    folder: Path = setting(Path("runs/run"), "folder of states, tables, plots and logs", flag="run")
    cache: Path = setting(Path(".cache/features"), "folder of the feature cache")
    stages: tuple[int, ...] = setting(
        (1, 2),
        "stages to train, except those that the checkpoint to start from has finished; all of them where it has "
        "finished all",
        choices=tuple(STAGES),
    )
    start: Path | None = setting(None, "checkpoint to start from; none starts with ImageNet weights")
    min_frequency: int = setting(5, "words that are rarer in the train captions become <unk>", least=1)
    word_vectors: Path | None = setting(None, "GloVe or fastText text file from which words start")
    freeze_embedding: bool = setting(
        False, "keep the word vectors, or those of the checkpoint to start from, as they are"
    )
    seed: int = setting(0, "seed of every random choice", least=0, most=2**32 - 1)
    resume: bool = setting(False, "continue from the last saved state")
    save_every: float = setting(60.0, "seconds between saved states within an epoch", least=0)
    find_lr: int | None = setting(
        None, "search a learning rate for this stage, and train nothing", choices=tuple(STAGES)[:2]
    )
    graphs: bool = setting(True, "write the graphs with which the checkpoint runs without PyTorch")
    quantize: bool = setting(True, "write int8 graphs too, where the captions stay as good")
    score_test: bool = setting(False, "score the result on the test splits too")
    devices: int = setting(1, "processes on each machine, each with a GPU or on the CPU", least=1)
    num_nodes: int = setting(1, "machines", least=1)
    precision: str = setting("32-true", "numeric precision of training", choices=("32-true", "16-mixed", "bf16-mixed"))
    command: str = ""

    def __post_init__(self):
        check(self)
        if not self.output.name:
            raise ValueError(f"output must be the path of a file, not {self.output}")
        if self.freeze_embedding and not (self.word_vectors or self.start):
            raise ValueError("freeze_embedding keeps word vectors as they are: name their file with --word-vectors")
        if self.find_lr and self.find_lr not in self.stages:
            raise ValueError(f"find_lr must be one of the stages to train, not {self.find_lr}")
        cores = os.cpu_count() or 1
        if self.devices > cores:
            raise ValueError(f"devices must be at most {cores}, as many as this machine has cores, not {self.devices}")

    def state(self, stage: int) -> Path:
        """The last saved state of a stage."""
        return self.folder / f"stage{stage}.ckpt"

    def best(self, stage: int) -> Path:
        """The checkpoint of a stage's best epoch; its record says whether the stage has finished."""
        return self.folder / f"stage{stage}.safetensors"

    def table(self, stage: int) -> Path:
        """A stage's metrics, epoch by epoch."""
        return self.folder / f"metrics_stage{stage}.csv"

    def loss_plot(self, stage: int) -> Path:
        """The same as curves."""
        return self.folder / f"loss_stage{stage}.png"

    @property
    def fingerprint(self) -> Path:
        """The run's fingerprint: it is resumed with the same."""
        return self.folder / "run.json"
