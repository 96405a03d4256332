"""The checkpoint file: one `.safetensors` file that holds a whole model. No pickle is ever loaded.

Tensors `encoder.*` and `decoder.*` are the model's own: matrices in float16, vectors (biases, batch-norm statistics) in
float32. `graph.PRECISION.encoder` and `graph.PRECISION.step` are ONNX graphs without their weights, as bytes; the
weights are tensors of this file by the names that the graphs use, `graph.PRECISION.weights.*` where the model has no
such tensor. String metadata: `format`, `config` (JSON of `ModelConfig`), `vocabulary` (JSON list, index = id) and
`training` (JSON of `TrainingRecord`: how the model came to be, with its scores).
"""

import json
import math
import re
import stat
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
from captioning.files import replacing
from captioning.record import TrainingRecord, format_record, parse_record
from captioning.vocabulary import SPECIAL_TOKENS, Vocabulary

FORMAT = "captioning/2"
# Files of these formats are read; those of the first have no graphs.
FORMATS = ("captioning/1", FORMAT)
SUFFIX = ".safetensors"
# Bytes of names, shapes and metadata: many times what a model needs, and little even when it is taken apart.
MAX_HEADER = 4 * 2**20
MAX_DIMENSIONS = 8
METADATA = "__metadata__"
# Of a tensor's types those that a checkpoint may have.
TYPES = {
    name: np.dtype(kind)
    for name, kind in {
        "F16": "<f2",
        "F32": "<f4",
        "I64": "<i8",
        "I32": "<i4",
        "I8": "i1",
        "U8": "u1",
        "BOOL": "?",
    }.items()
}
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
class Version:
    """A checkpoint file as it was at a time; one that has been replaced or written to since is another."""

    path: Path
    inode: int
    size: int
    modified: int


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in the file: its type there (a name of TYPES), its shape, and its first byte."""

    type: str
    shape: tuple[int, ...]
    start: int

    @property
    def count(self) -> int:
        return math.prod(self.shape)


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
        version: of the file that was read.
    """

    path: Path
    config: ModelConfig
    vocabulary: Vocabulary
    training: TrainingRecord
    size: int
    tensors: Mapping[str, StoredTensor] = field(repr=False)
    version: Version = field(repr=False)

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
        "training": format_record(training),
    }
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
    version = read_version(path)
    with _opened(version) as file:
        metadata, tensors = _read_header(version, file)
    return _describe(version, metadata, tensors)


def read_tensors(info: CheckpointInfo, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Tensors of a checkpoint by name; float16 becomes float32.

    Raises:
        CheckpointError: they are not all finite, or the file has been replaced since its description was read.
    """
    tensors = {}
    with _opened(info.version) as file:
        for name in names:
            stored = info.tensors[name]
            file.seek(stored.start)
            # Not mapped: whoever cuts a mapped file short ends this process.
            data = bytearray(stored.count * TYPES[stored.type].itemsize)
            if file.readinto(data) != len(data):
                raise ValueError("it ends early")
            tensors[name] = np.frombuffer(data, TYPES[stored.type]).reshape(stored.shape)
        if read_version(info.path) != info.version:
            raise ValueError("it was replaced while it was read")
    for name, tensor in tensors.items():
        if tensor.dtype.kind == "f":
            tensors[name] = tensor.astype(np.float32, copy=False)
            if not np.isfinite(tensors[name]).all():
                raise damaged(info.path, f"its weights {name} are not all finite numbers")
    return tensors


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


@contextmanager
def _opened(version: Version) -> Iterator[BufferedReader]:
    try:
        with version.path.open("rb") as file:
            yield file
    except (AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError) as error:
        raise damaged(version.path, f"it is not a whole safetensors file ({shown(error)})") from None


def _read_header(version: Version, file: BufferedReader) -> tuple[dict, dict[str, StoredTensor]]:
    """The metadata, and each tensor's type, shape and place."""
    length = int.from_bytes(file.read(8), "little")
    if length > MAX_HEADER:
        raise ValueError(f"its header claims {length:,} bytes")
    header = json.loads(file.read(length).decode(), object_pairs_hook=_named_once)
    metadata = header.pop(METADATA, {})
    if not isinstance(metadata, dict):
        raise ValueError("its metadata are no dictionary")
    tensors = {name: _stored_tensor(name, entry, 8 + length, version.size) for name, entry in header.items()}
    places = sorted((tensor.start, tensor.count * TYPES[tensor.type].itemsize) for tensor in tensors.values())
    end = 8 + length
    for start, size in places:
        if start != end:
            raise ValueError("its tensors overlap, or leave gaps")
        end += size
    if end != version.size:
        raise ValueError(f"it has {version.size:,} bytes and its header says {end:,}")
    return metadata, tensors


def _named_once(pairs: list[tuple[str, object]]) -> dict:
    named = dict(pairs)
    if len(named) < len(pairs):
        raise ValueError("its header names something twice")
    return named


def _stored_tensor(name: str, entry: dict, first: int, size: int) -> StoredTensor:
    kind, shape, (start, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    if kind not in TYPES:
        raise ValueError(f"{shown(name)} is stored as {shown(kind)}")
    if len(shape) > MAX_DIMENSIONS:
        raise ValueError(f"{shown(name)} has {len(shape):,} dimensions")
    if not all(type(number) is int and 0 <= number <= size for number in (*shape, start, end)):
        raise ValueError(f"{shown(name)} has a shape or place that is none")
    tensor = StoredTensor(kind, shape, first + start)
    if end - start != tensor.count * TYPES[kind].itemsize:
        raise ValueError(f"{shown(name)} has another size than its shape")
    return tensor


def _check_graph_names(names: Iterable[str]) -> None:
    """See that graphs are whole: both of a precision, their weights numbered without gaps."""
    found: dict[tuple[str, str], set[int]] = defaultdict(set)
    structures = set()
    for name in names:
        match = GRAPH_TENSOR.fullmatch(name)
        if not match:
            raise ValueError(f"{shown(name)} is no tensor of a graph")
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


def _describe(version: Version, metadata: dict, tensors: dict[str, StoredTensor]) -> CheckpointInfo:
    path = version.path
    if metadata.get("format") not in FORMATS:
        raise damaged(path, f"its format is not {FORMAT}")
    try:
        config = ModelConfig(**json.loads(metadata["config"]))
        vocabulary = Vocabulary(json.loads(metadata["vocabulary"]))
        training = parse_record(metadata["training"])
        if len(vocabulary) == len(SPECIAL_TOKENS):
            raise ValueError("its vocabulary has no words")
        _check_graph_names(name for name in tensors if name.startswith("graph."))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise damaged(path, f"its description is damaged ({shown(error)})") from None
    return CheckpointInfo(path, config, vocabulary, training, version.size, tensors, version)


def damaged(path: Path, reason: str) -> CheckpointError:
    """What to say of a file that is no checkpoint, with the reason."""
    return CheckpointError(
        f"{shown(path.name)} is not a usable checkpoint, {reason}: choose another, or copy it again."
    )
