"""What is checked before hours are spent: settings against model and data, places, room, and what a run resumes."""

import hashlib
import json
import platform
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from pickle import UnpicklingError

import lightning
import torch

from captioning.config import ModelConfig
from captioning.data.datasets import CaptionDataset
from captioning.data.features import photo_digest
from captioning.errors import CheckpointError, DatasetError, shown
from captioning.files import changed, file_digest, load_fingerprint, replacing, write_whole
from captioning.model.model import CaptioningModel
from captioning.training.callbacks import EpochTable, SaveState
from captioning.training.plots import DRAWN
from captioning.training.settings import RunSettings, StageSettings
from captioning.training.task import CaptioningTask
from captioning.vocabulary import Vocabulary

VERSIONS = {
    "python": platform.python_version(),
    "torch": str(torch.__version__),
    "lightning": lightning.__version__,
}
DIGEST = re.compile("[0-9a-f]{64}")
# Bytes of a state for each weight: the weight, and Adam's two moments of it.
STATE_BYTES = 12
# Bytes of a number in the feature cache.
FEATURE_BYTES = 2


def check_writable(run: RunSettings) -> None:
    """Check that results can be written.

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
    """Whether the run has a saved state."""
    return any(run.folder.glob("stage*.ckpt"))


def check_unfinished(run: RunSettings) -> None:
    """Check that there is a run to resume, or, without --resume, that there is none.

    Raises:
        CheckpointError: there is nothing to resume, or an earlier run would be overwritten.
    """
    begun = is_begun(run)
    if run.resume and not begun:
        raise CheckpointError(f"There is nothing to resume in {run.folder}: run without --resume.")
    if begun and not run.resume:
        raise CheckpointError(f"{run.folder} holds an earlier run: add --resume to continue it, or name another --run.")
    check_output(run.output)


def run_fingerprint(
    datasets: Sequence[CaptionDataset],
    config: ModelConfig,
    vocabulary: Vocabulary,
    stages: Mapping[int, StageSettings],
    run: RunSettings,
) -> dict:
    """What the states of a run depend on, by the names that messages use; data and files as digests of their content.

    Raises:
        ImageError: a photo cannot be read.
    """
    return {
        **asdict(config),
        "vocabulary": _digest("\n".join(vocabulary.words).encode()),
        **{f"set of photos and captions in {dataset.name}": _content(dataset) for dataset in datasets},
        "data sets": [dataset.name for dataset in datasets],
        "checkpoint to start from": run.start and file_digest(run.start),
        "file of word vectors": run.word_vectors and file_digest(run.word_vectors),
        **{name: getattr(run, name) for name in ("freeze_embedding", "seed", "devices", "num_nodes", "precision")},
        **{library: VERSIONS[library] for library in ("torch", "lightning")},
        "stages": sorted(stages),
        **{
            f"stage {number} {name}": value
            for number, settings in stages.items()
            for name, value in asdict(settings).items()
        },
    }


def check_same(run: RunSettings, fingerprint: dict) -> None:
    """Check that a run is resumed with everything that its states depend on, and save the fingerprint.

    Stages may be added after those that the run was begun with.

    Raises:
        CheckpointError: something differs, or the saved fingerprint is damaged.
    """
    begun = _read_fingerprint(run) if run.resume else {}
    stages = begun.get("stages")
    kept = fingerprint["stages"][: len(stages)] if isinstance(stages, list) else fingerprint["stages"]
    now = {**fingerprint, "stages": kept}
    differences = [_difference(name, begun[name], now[name]) for name in changed(begun, now)]
    if differences:
        raise CheckpointError(
            f"{run.folder} was begun with {' and '.join(differences)}: "
            "resume with the same as then, or name another --run."
        )
    write_whole(run.fingerprint, json.dumps({**begun, **fingerprint}, indent=2).encode())


def _read_fingerprint(run: RunSettings) -> dict:
    try:
        return load_fingerprint(run.fingerprint.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError:
        raise CheckpointError(
            f"{run.fingerprint} is damaged and cannot say what the run was begun with: remove it to resume unchecked."
        ) from None


def _difference(name: str, begun: object, now: object) -> str:
    """What differs, as a phrase; digests of content are not shown."""
    if any(isinstance(value, str) and DIGEST.fullmatch(value) for value in (begun, now)):
        return f"another {name}"
    before, after = (", ".join(map(str, value)) if isinstance(value, list) else value for value in (begun, now))
    return f"{name.replace('_', ' ')} {shown(before)} instead of {shown(after)}"


def _content(dataset: CaptionDataset) -> str:
    """A digest of a data set's photos, by name and content, and of their captions, split by split."""
    content = {
        split: [[example.photo.name, photo_digest(example.photo), example.captions] for example in examples]
        for split, examples in dataset.splits.items()
    }
    return _digest(json.dumps(content, sort_keys=True).encode())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def check_state(path: Path, stage: int, task: CaptioningTask) -> None:
    """Check that a saved state is whole, and belongs to this stage.

    Raises:
        CheckpointError: it is damaged, belongs to another stage or model, or its epochs were not scored as now.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        shapes = {name: tensor.shape for name, tensor in state["state_dict"].items()}
        found = state["callbacks"][SaveState.__qualname__].get("stage", stage)
        rows = state["callbacks"].get(EpochTable.__qualname__, {"rows": []})["rows"]
        complete = all(row.keys() >= DRAWN for row in rows)
    except (AttributeError, EOFError, LookupError, OSError, RuntimeError, TypeError, UnpicklingError, ValueError):
        problem = "is damaged"
    else:
        same = found == stage and shapes == {name: tensor.shape for name, tensor in task.state_dict().items()}
        if same and complete:
            return
        problem = "is of an older version" if same else f"is not a state of stage {stage} of this run"
    raise CheckpointError(f"{path} {problem}: remove it, and stage {stage} is trained from its beginning.")


def check_output(path: Path) -> None:
    """Check that no checkpoint would be overwritten.

    Raises:
        CheckpointError: there is a file already.
    """
    if path.exists():
        raise CheckpointError(f"{path} exists already: name another --output.")


def check_stages(stages: Mapping[int, StageSettings], model: CaptioningModel, photos: int, run: RunSettings) -> None:
    """Check that the settings fit the model and the data, and that the disk has room for the states.

    Raises:
        DatasetError: the encoder has fewer blocks.
        CheckpointError: the disk is too full.
    """
    blocks = model.encoder.block_count
    for settings in stages.values():
        if settings.trained_blocks > blocks:
            raise DatasetError(f"The encoder {model.config.encoder} has {blocks} blocks: train at most {blocks}.")
    _check_room(stages, model, photos, run)


def _check_room(stages: Mapping[int, StageSettings], model: CaptioningModel, photos: int, run: RunSettings) -> None:
    weights = sum(parameter.numel() for parameter in model.parameters())
    rows, columns = model.encoder.grid
    # What a resumed run finds on the disk takes no more room.
    to_begin = {number: settings for number, settings in stages.items() if not run.state(number).exists()}
    # The first stage, which starts right after this, reserves room for its features itself.
    cached = sum(settings.uses_cache for number, settings in to_begin.items() if number != min(stages))
    needs = {
        # A state for each stage, and one more while it is being written.
        run.folder: (len(to_begin) + 1) * STATE_BYTES * weights,
        run.cache: cached * 2 * photos * rows * columns * model.encoder.channels * FEATURE_BYTES,
    }
    for folder, needed in needs.items():
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise CheckpointError(
                f"{folder} has {free / 2**30:.2f} GB free and the run needs {needed / 2**30:.2f} GB there: "
                "free space, or name another place with --run or --cache."
            )
