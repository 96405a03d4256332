"""Where a run keeps what, and what is checked before it starts."""

import json
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from captioning.errors import CheckpointError, DatasetError
from captioning.files import changed, holding, load_fingerprint, replacing, write_whole
from captioning.model.model import CaptioningModel
from captioning.training.settings import StageSettings

# Bytes of a state for each weight: the weight, and Adam's two moments of it.
STATE_BYTES = 12
# Bytes of a number in the feature cache.
FEATURE_BYTES = 2


@dataclass(frozen=True)
class Run:
    """Where a run keeps what, and how it runs.

    Attributes:
        output: the checkpoint that is written at the end: the best epoch of the best stage, scored.
        folder: what a run needs to be resumed, the best epoch of each stage, tables, plots and logs.
        cache: folder of the feature cache.
        seed: of every random choice.
        command: what was typed, kept in the checkpoint.
        start: a checkpoint to go on from with the stages that it has not been through; None starts with an untrained
            decoder and ImageNet weights.
        quantize: give the checkpoint graphs in int8 too, where its captions stay as good.
        score_test: score the checkpoint on the test splits too, where there are any.
        resume: go on from the last saved state.
        save_every: seconds between states within an epoch.
        devices, num_nodes, precision: Lightning's.
    """

    output: Path
    folder: Path
    cache: Path
    seed: int
    command: str
    start: Path | None = None
    quantize: bool = True
    score_test: bool = False
    resume: bool = False
    save_every: float = 60.0
    devices: int = 1
    num_nodes: int = 1
    precision: str = "32-true"

    def state(self, stage: int) -> Path:
        """The last saved state of a stage."""
        return self.folder / f"stage{stage}.ckpt"

    def best(self, stage: int) -> Path:
        """The checkpoint of a stage's best epoch."""
        return self.folder / f"stage{stage}.safetensors"

    def table(self, stage: int) -> Path:
        """A stage's metrics, epoch by epoch."""
        return self.folder / f"metrics_stage{stage}.csv"

    @property
    def made_with(self) -> Path:
        """What the run was begun with, so that it goes on with the same."""
        return self.folder / "run.json"

    def loss_plot(self, stage: int) -> Path:
        """The same as curves; written last, it also says that the stage is through."""
        return self.folder / f"loss_stage{stage}.png"


def check_writable(run: Run) -> None:
    """See that results can be written.

    Raises:
        CheckpointError: they cannot.
    """
    for path in (run.output, run.table(1), run.cache / "features.npy"):
        trial = path.with_name(f".{path.name}.trial")
        try:
            trial.parent.mkdir(parents=True, exist_ok=True)
            with replacing(trial) as temporary:
                temporary.touch()
            # Another run that starts at the same moment may have removed it.
            trial.unlink(missing_ok=True)
        except OSError as error:
            raise CheckpointError(
                f"Nothing can be written to {path.parent} ({error.strerror}): "
                "name another place with --output, --run or --cache."
            ) from None


def is_begun(run: Run) -> bool:
    """Whether there is a state to go on from."""
    return any(run.folder.glob("stage*.ckpt"))


def check_unfinished(run: Run) -> None:
    """See that there is a run to resume, or that none is in the way.

    Raises:
        CheckpointError: it is not so.
    """
    begun = is_begun(run)
    if run.resume and not begun:
        raise CheckpointError(f"There is nothing to resume in {run.folder}: run without --resume.")
    if begun and not run.resume:
        raise CheckpointError(f"{run.folder} holds an earlier run: add --resume to go on, or name another --run.")
    check_output(run.output)


def check_same(run: Run, made_with: dict) -> None:
    """See that a run goes on with the model, the data and the settings that it was begun with, or note those.

    Raises:
        CheckpointError: something is another (stages may be added), or what was noted is damaged.
    """
    if not run.resume:
        write_whole(run.made_with, json.dumps(made_with, indent=2).encode())
        return
    try:
        begun_with = load_fingerprint(run.made_with.read_bytes())
    except FileNotFoundError:
        begun_with = {}
    except ValueError:
        raise CheckpointError(
            f"{run.made_with} is damaged and cannot say what the run was begun with: remove it to resume unchecked."
        ) from None
    for name in changed(begun_with, made_with):
        raise CheckpointError(
            f"{run.folder} was begun with another {name}: resume with the same as then, or name another --run."
        )


def check_output(path: Path) -> None:
    """See that no checkpoint would be overwritten.

    Raises:
        CheckpointError: one would be.
    """
    if path.exists():
        raise CheckpointError(f"{path} is there already: name another --output.")


@contextmanager
def sole_writer(run: Run) -> Iterator[None]:
    """Have the run's folder to oneself in the block, and tell what cannot be written in one sentence.

    Raises:
        CheckpointError: another run has the folder, or the disk is full.
    """

    def refuse() -> None:
        raise CheckpointError(f"Another run is writing to {run.folder}: wait for it, or name another --run.")

    try:
        with holding(run.folder, refuse), _quiet_threads():
            yield
    except OSError as error:
        again = "the same with --resume" if is_begun(run) else "the same"
        raise CheckpointError(
            f"The run cannot be written to {run.folder} ({error.strerror or error}): free space, and run {again} again."
        ) from None


@contextmanager
def _quiet_threads() -> Iterator[None]:
    """Let TensorBoard's thread end without a traceback where it cannot write; it tells the main thread anyway."""
    before = threading.excepthook
    threading.excepthook = lambda failed: None if issubclass(failed.exc_type, OSError) else before(failed)
    try:
        yield
    finally:
        threading.excepthook = before


def check_stages(stages: Sequence[StageSettings], model: CaptioningModel, photos: int, run: Run) -> None:
    """See that the settings suit the model and the data, and that the states will find room.

    Raises:
        DatasetError: the encoder has not so many blocks.
        CheckpointError: the disk is too full.
    """
    blocks = model.encoder.block_count
    for settings in stages:
        if settings.trained_blocks > blocks:
            raise DatasetError(f"The encoder {model.config.encoder} has {blocks} blocks: train {blocks} at the most.")
    _check_room(stages, model, photos, run)


def _check_room(stages: Sequence[StageSettings], model: CaptioningModel, photos: int, run: Run) -> None:
    weights = sum(parameter.numel() for parameter in model.parameters())
    rows, columns = model.encoder.grid
    # The first stage's features are made room for when it starts, right after this.
    cached = sum(not settings.trained_blocks for settings in stages[1:])
    needs = {
        # Each stage's state, and once more the one that is being written.
        run.folder: (len(stages) + 1) * STATE_BYTES * weights,
        run.cache: cached * 2 * photos * rows * columns * model.encoder.channels * FEATURE_BYTES,
    }
    for folder, needed in needs.items():
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise CheckpointError(
                f"{folder} has {free / 2**30:.1f} GB free and the run needs {needed / 2**30:.1f} GB there: "
                "free space, or name another place with --run or --cache."
            )
