"""The checkpoint file: one `.safetensors` file that holds a whole model. No pickle is ever loaded.

Tensors are named as in `CaptioningModel`; matrices are stored as float16, vectors (biases, batch-norm statistics) as
float32. String metadata: `format`, `config` (JSON of `ModelConfig`), `vocabulary` (JSON list, index = id) and
`training` (JSON: how the model came to be, with its scores).
"""

import json
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from captioning.errors import CheckpointError, shown
from captioning.files import replacing
from captioning.model.model import CaptioningModel, ModelConfig
from captioning.record import check_record
from captioning.vocabulary import SPECIAL_TOKENS, Vocabulary

FORMAT = "captioning/1"
SUFFIX = ".safetensors"
# Bytes of names, shapes and metadata: many times what a model needs, and little even when it is taken apart.
MAX_HEADER = 4 * 2**20
METADATA = "__metadata__"
# As what a tensor may be stored, by its type in the model.
STORED_TYPES = {torch.float32: ("F16", "F32"), torch.int64: ("I64",)}
# Bytes of a number of the largest type there is.
LARGEST_ITEM = 8


@dataclass(frozen=True)
class Version:
    """A checkpoint file as it was at a time; one that has been replaced or written to since is another."""

    path: Path
    inode: int
    size: int
    modified: int


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint says of itself, read without its tensors.

    Attributes:
        path: the file.
        config: shapes of the model.
        vocabulary: its words.
        training: data, settings, epoch tables and scores; see `record` for what it may hold.
        size: of the file, in bytes.
    """

    path: Path
    config: ModelConfig
    vocabulary: Vocabulary
    training: dict
    size: int


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
            # Not `save_file`, which has temporary files of its own that a kill leaves, and lets nobody else read it.
            temporary.write_bytes(save(tensors, metadata))
    except OSError as error:
        raise CheckpointError(
            f"The checkpoint {path} cannot be written ({error.strerror}): free space or write elsewhere."
        ) from None


def load_checkpoint(path: Path | str) -> tuple[CaptioningModel, CheckpointInfo]:
    """The model in float32, ready to caption, and what the file says of it.

    Raises:
        CheckpointError: the file is missing, truncated, of another format, or does not agree with itself.
    """
    version = read_version(path)
    with _opened(version) as file:
        header = _read_header(version, file)
        info = _describe(version, header)
        _check_tensors(info, header)
        tensors = _read_tensors(version, file)
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
    version = read_version(path)
    with _opened(version) as file:
        return _describe(version, _read_header(version, file))


def read_version(path: Path | str) -> Version:
    """The file as it is now.

    Raises:
        CheckpointError: there is no such file.
    """
    path = Path(path)
    try:
        found = path.stat()
    except (OSError, ValueError):
        found = None
    if found is None or not stat.S_ISREG(found.st_mode):
        raise CheckpointError(f"There is no checkpoint {path}: check the name, or train one with train.py.")
    return Version(path, found.st_ino, found.st_size, found.st_mtime_ns)


def list_checkpoints(folder: Path | str) -> list[Path]:
    """The checkpoint files of a folder, by name; none where there is no such folder.

    Files that lie elsewhere, behind a link, and names that cannot be shown are left out.
    """
    folder = Path(folder)
    return sorted(
        path
        for path in folder.glob(f"*{SUFFIX}")
        if path.is_file()
        and path.resolve().parent == folder.resolve()
        and path.name.isprintable()
        and not path.name.startswith(".")
    )


def _stored(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.detach().cpu().contiguous()
    if not tensor.is_floating_point():
        return tensor
    return tensor.half() if tensor.ndim > 1 else tensor.float()


@contextmanager
def _opened(version: Version) -> Iterator[BinaryIO]:
    """The file, to be read: if it were mapped instead, whoever cuts it short meanwhile would end this process."""
    try:
        with version.path.open("rb") as file:
            yield file
    except (AttributeError, LookupError, OSError, RecursionError, SafetensorError, TypeError, ValueError) as error:
        raise _refusal(version.path, f"it is not a whole safetensors file ({shown(error)})") from None


def _read_header(version: Version, file: BinaryIO) -> dict[str, dict]:
    """By name each tensor's type, shape and place, and under `__metadata__` the metadata."""
    length = int.from_bytes(file.read(8), "little")
    if length > MAX_HEADER:
        raise ValueError(f"its header claims {length:,} bytes")
    header = json.loads(file.read(length).decode())
    end = max((tensor["data_offsets"][1] for name, tensor in header.items() if name != METADATA), default=0)
    if 8 + length + end != version.size:
        raise ValueError(f"it has {version.size:,} bytes and its header says {8 + length + end:,}")
    return header


def _describe(version: Version, header: dict[str, dict]) -> CheckpointInfo:
    path, metadata = version.path, header.get(METADATA, {})
    if metadata.get("format") != FORMAT:
        raise _refusal(path, f"its format is not {FORMAT}")
    try:
        config = ModelConfig(**json.loads(metadata["config"]))
        vocabulary = Vocabulary(json.loads(metadata["vocabulary"]))
        training = json.loads(metadata["training"])
        check_record(training)
        if len(vocabulary) == len(SPECIAL_TOKENS):
            raise ValueError("its vocabulary has no words")
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise _refusal(path, f"its description is damaged ({shown(error)})") from None
    return CheckpointInfo(path, config, vocabulary, training, version.size)


def _check_tensors(info: CheckpointInfo, header: dict[str, dict]) -> None:
    """Compare names, types and shapes with what the configuration asks for, before any weights are read."""
    try:
        expected = _expected_tensors(info.config, len(info.vocabulary))
    except (CheckpointError, RuntimeError, TypeError, ValueError) as error:
        raise _refusal(info.path, f"its configuration builds no model ({shown(error)})") from None
    names = (header.keys() - {METADATA}) ^ expected.keys()
    if names:
        name = shown(min(names))
        raise _refusal(info.path, f"its tensors are not those of its configuration ({name} is missing or extra)")
    for name, tensor in expected.items():
        kind, shape, wanted = header[name]["dtype"], tuple(header[name]["shape"]), tuple(tensor.shape)
        if kind not in STORED_TYPES[tensor.dtype]:
            raise _refusal(info.path, f"its weights {name} are stored as {shown(kind)}")
        if shape != wanted:
            raise _refusal(info.path, f"{name} has shape {shown(shape)} where its description asks for {wanted}")
    if info.size > MAX_HEADER + LARGEST_ITEM * sum(tensor.numel() for tensor in expected.values()):
        raise _refusal(info.path, f"it has {info.size:,} bytes, more than its tensors take")


@lru_cache(maxsize=8)
def _expected_tensors(config: ModelConfig, vocabulary_size: int) -> dict[str, torch.Tensor]:
    """Tensors that take no memory, so that a forged configuration costs nothing."""
    with torch.device("meta"):
        return CaptioningModel(config, vocabulary_size).state_dict()


def _read_tensors(version: Version, file: BinaryIO) -> dict[str, torch.Tensor]:
    """All tensors of a file whose header has been checked."""
    file.seek(0)
    data = file.read(version.size)
    if read_version(version.path) != version:
        raise ValueError("it was replaced while it was read")
    return load(data)


def _refusal(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"{shown(path.name)} is not a usable checkpoint, {reason}: choose another, or copy it anew.")
