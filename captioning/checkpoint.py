"""The checkpoint file: one `.safetensors` file that holds a whole model. No pickle is ever loaded.

Tensors `encoder.*` and `decoder.*` are the model's own: matrices in float16, vectors (biases, batch-norm statistics) in
float32. `graph.PRECISION.encoder` and `graph.PRECISION.step` are ONNX graphs without their weights, as bytes; the
weights are tensors of this file by the names that the graphs use, `graph.PRECISION.weights.*` where the model has no
such tensor. String metadata: `format`, `config` (JSON of `ModelConfig`), `vocabulary` (JSON list, index = id),
`tokenizer` (one of `TOKENIZERS`), `repeatable` (JSON list of the words that a caption may repeat; without it, all) and
`training` (JSON of `TrainingRecord`: how the model came to be, with its scores).
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from io import BufferedReader
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from captioning.config import GRAPH_PRECISIONS, ModelConfig
from captioning.errors import CheckpointError, shown
from captioning.files import FileFingerprint, file_fingerprint, replacing
from captioning.header import TYPES, StoredTensor, read_header
from captioning.record import TrainingRecord, format_record, parse_record
from captioning.vocabulary import FIRST_TOKENIZER, SPECIAL_TOKENS, Vocabulary

FORMAT = "captioning/2"
# Files of these formats are read; those of the first have no graphs.
FORMATS = ("captioning/1", FORMAT)
SUFFIX = ".safetensors"
# Tensors that no optimizer changes: batch norm's statistics.
BUFFERS = (".running_mean", ".running_var", ".num_batches_tracked")
GRAPHS = ("encoder", "step")
GRAPH_TENSOR = re.compile(r"graph\.(int8|float32)\.(?:(encoder|step)|weights\.(encoder|step)\.(0|[1-9][0-9]{0,4}))")
# What graphs name as the file with their weights, which the runtime is given by name instead.
WEIGHTS_PLACE = "checkpoint"


def graph_name(precision: str, graph: str) -> str:
    """The name of the tensor that holds a graph's structure."""
    return f"graph.{precision}.{graph}"


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint says of itself, read without its tensors.

    Attributes:
        path: the file.
        config: shapes of the model.
        vocabulary: its words.
        training: data, settings, epoch tables and scores.
        size: of the file, in bytes.
        tensors: what the file holds, by name.
        fingerprint: of the file that was read.
    """

    path: Path
    config: ModelConfig
    vocabulary: Vocabulary
    training: TrainingRecord
    size: int
    tensors: Mapping[str, StoredTensor] = field(repr=False)
    fingerprint: FileFingerprint = field(repr=False)

    @property
    def parameters(self) -> dict[str, int]:
        """How many weights `encoder` and `decoder` have."""
        weights = [(name.split(".")[0], name, tensor) for name, tensor in self.tensors.items()]
        return {
            part: sum(t.count for place, name, t in weights if place == part and not name.endswith(BUFFERS))
            for part in ("encoder", "decoder")
        }

    @property
    def channels(self) -> int:
        """D: the length of the encoder's feature vectors."""
        reader = "neck.0" if self.config.neck_size else "attention.project_features"
        return self.matrix_shape(f"decoder.{reader}.weight")[1]

    def matrix_shape(self, name: str) -> tuple[int, int]:
        """The shape of a weight that every model has.

        Raises:
            CheckpointError: the file has no such matrix.
        """
        tensor = self.tensors.get(name)
        if tensor is None or len(tensor.shape) != 2:
            raise damaged(self.path, f"its matrix {name} is missing")
        return tensor.shape

    @property
    def graph_precisions(self) -> list[str]:
        """The precisions in which the file has graphs, which run without PyTorch; the one to prefer first."""
        return [
            precision
            for precision in GRAPH_PRECISIONS
            if all(graph_name(precision, graph) in self.tensors for graph in GRAPHS)
        ]


def write_checkpoint(
    path: Path, config: ModelConfig, vocabulary: Vocabulary, training: TrainingRecord, tensors: Mapping[str, np.ndarray]
) -> None:
    """Write a checkpoint; the file appears whole under its name, or not at all.

    Raises:
        CheckpointError: it cannot be written there.
    """
    metadata = {
        "format": FORMAT,
        "config": json.dumps(asdict(config)),
        "vocabulary": json.dumps(vocabulary.words),
        "tokenizer": vocabulary.tokenizer,
        "training": format_record(training),
    }
    if vocabulary.repeatable is not None:
        metadata["repeatable"] = json.dumps(sorted(vocabulary.repeatable))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            # Not `save_file`, which has temporary files of its own that a kill leaves, and lets nobody else read it.
            temporary.write_bytes(save(dict(tensors), metadata))
    except OSError as error:
        raise CheckpointError(
            f"The checkpoint {path} cannot be written ({error.strerror}): free space or write elsewhere."
        ) from None


def read_info(path: Path | str) -> CheckpointInfo:
    """What a checkpoint says of itself.

    Raises:
        CheckpointError: the file is missing, truncated or of another format.
    """
    fingerprint = checkpoint_fingerprint(path)
    with _opened(fingerprint.path) as file:
        metadata, tensors = read_header(file, fingerprint.size)
    return _describe(fingerprint, metadata, tensors)


def read_tensors(info: CheckpointInfo, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Tensors of a checkpoint by name; float16 becomes float32.

    Raises:
        CheckpointError: they are not all finite, or the file has been replaced since its description was read.
    """
    tensors = {}
    with _opened(info.path) as file:
        for name in names:
            stored = info.tensors[name]
            file.seek(stored.start)
            # Not mapped: whoever cuts a mapped file short ends this process.
            data = bytearray(stored.count * TYPES[stored.type].itemsize)
            if file.readinto(data) != len(data):
                raise ValueError("it ends early")
            tensors[name] = np.frombuffer(data, TYPES[stored.type]).reshape(stored.shape)
        if checkpoint_fingerprint(info.path) != info.fingerprint:
            raise ValueError("it was replaced while it was read")
    for name, tensor in tensors.items():
        if tensor.dtype.kind == "f":
            tensors[name] = tensor.astype(np.float32, copy=False)
            if not np.isfinite(tensors[name]).all():
                raise damaged(info.path, f"its weights {name} are not all finite numbers")
    return tensors


def checkpoint_fingerprint(path: Path | str) -> FileFingerprint:
    """The fingerprint of a checkpoint as it is now.

    Raises:
        CheckpointError: there is no such file.
    """
    try:
        return file_fingerprint(Path(path))
    except (OSError, ValueError):
        raise CheckpointError(f"There is no checkpoint {path}: check the name, or train one with train.py.") from None


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


@contextmanager
def _opened(path: Path) -> Iterator[BufferedReader]:
    try:
        with path.open("rb") as file:
            yield file
    except (AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError) as error:
        raise damaged(path, f"it is not a whole safetensors file ({shown(error)})") from None


def _check_graph_names(names: Iterable[str]) -> None:
    """See that graphs are whole: both of a precision, their weights numbered without gaps."""
    found: dict[tuple[str, str], set[int]] = defaultdict(set)
    structures = set()
    for name in names:
        match = GRAPH_TENSOR.fullmatch(name)
        if not match:
            raise ValueError(f"{shown(name)} is not a tensor of a graph")
        precision, structure, graph, number = match.groups()
        if structure:
            structures.add((precision, structure))
        else:
            found[precision, graph].add(int(number))
    for precision in {precision for precision, _ in structures | found.keys()}:
        for graph in GRAPHS:
            numbers = found[precision, graph]
            if (precision, graph) not in structures or numbers != set(range(len(numbers))):
                raise ValueError(f"its graphs in {precision} are not whole")


def _describe(fingerprint: FileFingerprint, metadata: dict, tensors: dict[str, StoredTensor]) -> CheckpointInfo:
    path = fingerprint.path
    if metadata.get("format") not in FORMATS:
        raise damaged(path, f"its format is not {FORMAT}")
    try:
        config = ModelConfig(**json.loads(metadata["config"]))
        vocabulary = Vocabulary(
            json.loads(metadata["vocabulary"]),
            metadata.get("tokenizer", FIRST_TOKENIZER),
            json.loads(metadata.get("repeatable", "null")),
        )
        training = parse_record(metadata["training"])
        if len(vocabulary) == len(SPECIAL_TOKENS):
            raise ValueError("its vocabulary has no words")
        _check_graph_names(name for name in tensors if name.startswith("graph."))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise damaged(path, f"its description is damaged ({shown(error)})") from None
    return CheckpointInfo(path, config, vocabulary, training, fingerprint.size, tensors, fingerprint)


def damaged(path: Path, reason: str) -> CheckpointError:
    """What to say of a file that is not a checkpoint, with the reason."""
    return CheckpointError(
        f"{shown(path.name)} is not a usable checkpoint, {reason}: choose another, or copy it again."
    )
