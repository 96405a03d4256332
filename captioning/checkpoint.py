"""The checkpoint file: one `.safetensors` file that holds a whole model. No pickle is ever loaded.

Tensors are named as in `CaptioningModel`; matrices are stored as float16, vectors (biases, batch-norm statistics) as
float32. String metadata: `format`, `config` (JSON of `ModelConfig`), `vocabulary` (JSON list, index = id) and
`training` (JSON: how the model came to be, with its scores).
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from captioning.errors import CheckpointError
from captioning.files import replacing
from captioning.model.model import CaptioningModel, ModelConfig
from captioning.vocabulary import Vocabulary

FORMAT = "captioning/1"
SUFFIX = ".safetensors"


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint says of itself, read without its tensors.

    Attributes:
        path: the file.
        config: shapes of the model.
        vocabulary: its words.
        training: data, settings, epoch tables and scores; see DESIGN, *Checkpoint file*.
    """

    path: Path
    config: ModelConfig
    vocabulary: Vocabulary
    training: dict


def save_checkpoint(path: Path, model: CaptioningModel, vocabulary: Vocabulary, training: dict) -> None:
    """Write a checkpoint; the file appears whole under its name, or not at all.

    Raises:
        CheckpointError: it cannot be written there.
    """
    metadata = {
        "format": FORMAT,
        "config": json.dumps(asdict(model.config)),
        "vocabulary": json.dumps(vocabulary.words),
        "training": json.dumps(training),
    }
    tensors = {name: _stored(tensor) for name, tensor in model.state_dict().items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            save_file(tensors, temporary, metadata)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"The checkpoint {path} cannot be written ({error}): free space or write elsewhere."
        ) from None


def load_checkpoint(path: Path | str) -> tuple[CaptioningModel, CheckpointInfo]:
    """The model in float32, ready to caption, and what the file says of it.

    Raises:
        CheckpointError: the file is missing, truncated, of another format, or does not agree with itself.
    """
    info = read_info(path)
    with _open(info.path) as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        _check_shapes(info, shapes)
        tensors = {name: file.get_tensor(name) for name in shapes}
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise _refusal(info.path, f"its weights {name} are not all finite numbers")
    model = CaptioningModel(info.config, len(info.vocabulary))
    model.load_state_dict(tensors)
    return model.eval(), info


def read_info(path: Path | str) -> CheckpointInfo:
    """What a checkpoint says of itself.

    Raises:
        CheckpointError: the file is missing, truncated or of another format.
    """
    path = Path(path)
    with _open(path) as file:
        metadata = file.metadata() or {}
    if metadata.get("format") != FORMAT:
        raise _refusal(path, f"its format is not {FORMAT}")
    try:
        config = ModelConfig(**json.loads(metadata["config"]))
        vocabulary = Vocabulary(json.loads(metadata["vocabulary"]))
        training = json.loads(metadata["training"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise _refusal(path, f"its description is damaged ({error})") from None
    if not isinstance(training, dict):
        raise _refusal(path, "its training record is damaged")
    return CheckpointInfo(path, config, vocabulary, training)


def list_checkpoints(folder: Path | str) -> list[Path]:
    """The checkpoint files of a folder, by name; none where there is no such folder."""
    return sorted(path for path in Path(folder).glob(f"*{SUFFIX}") if path.is_file() and not path.name.startswith("."))


def _stored(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.detach().cpu()
    return (tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor).contiguous()


def _open(path: Path):
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint {path}: check the name, or train one with train.py.")
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError, ValueError) as error:
        raise _refusal(path, f"it is not a whole safetensors file ({error})") from None


def _check_shapes(info: CheckpointInfo, shapes: dict[str, tuple[int, ...]]) -> None:
    """Compare with a model that takes no memory, so that a forged configuration costs nothing."""
    try:
        with torch.device("meta"):
            expected = CaptioningModel(info.config, len(info.vocabulary)).state_dict()
    except (RuntimeError, TypeError, ValueError) as error:
        raise _refusal(info.path, f"its configuration builds no model ({error})") from None
    if shapes.keys() != expected.keys():
        names = sorted(shapes.keys() ^ expected.keys())
        raise _refusal(info.path, f"its tensors are not those of its configuration ({names[0]} is missing or extra)")
    for name, shape in shapes.items():
        wanted = tuple(expected[name].shape)
        if shape != wanted:
            raise _refusal(info.path, f"{name} has shape {shape} where its description asks for {wanted}")


def _refusal(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"{path.name} is not a usable checkpoint, {reason}: choose another, or copy it anew.")
