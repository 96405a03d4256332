"""What is checked before hours are spent: settings against model and data, places, room, and what a run resumes."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from captioning.errors import CheckpointError, DatasetError
from captioning.files import changed, load_fingerprint, replacing, write_whole
from captioning.model.model import CaptioningModel
from captioning.training.settings import RunSettings, StageSettings

# Bytes of a state for each weight: the weight, and Adam's two moments of it.
STATE_BYTES = 12
# Bytes of a number in the feature cache.
FEATURE_BYTES = 2


def check_writable(run: RunSettings) -> None:
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


def is_begun(run: RunSettings) -> bool:
    """Whether there is a state to go on from."""
    return any(run.folder.glob("stage*.ckpt"))


def check_unfinished(run: RunSettings) -> None:
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


def check_same(run: RunSettings, fingerprint: dict) -> None:
    """See that a run goes on with the model, the data and the settings that it was begun with, or note those.

    Raises:
        CheckpointError: something is another (stages may be added), or what was noted is damaged.
    """
    if not run.resume:
        write_whole(run.fingerprint, json.dumps(fingerprint, indent=2).encode())
        return
    try:
        begun_with = load_fingerprint(run.fingerprint.read_bytes())
    except FileNotFoundError:
        begun_with = {}
    except ValueError:
        raise CheckpointError(
            f"{run.fingerprint} is damaged and cannot say what the run was begun with: remove it to resume unchecked."
        ) from None
    for name in changed(begun_with, fingerprint):
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


def check_stages(stages: Sequence[StageSettings], model: CaptioningModel, photos: int, run: RunSettings) -> None:
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


def _check_room(stages: Sequence[StageSettings], model: CaptioningModel, photos: int, run: RunSettings) -> None:
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
