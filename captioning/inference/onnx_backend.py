"""The model's graphs in ONNX Runtime as a backend: on a CPU, without PyTorch."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from threading import Lock
from typing import Any

import numpy as np
import onnxruntime

from captioning.checkpoint import GRAPHS, CheckpointInfo, damaged, graph_name, read_tensors
from captioning.errors import shown
from captioning.graph_check import check_model_graphs
from captioning.graph_check.check import MAX_BYTES
from captioning.graph_check.model import ENCODER_INPUTS, STEP_INPUTS
from captioning.inference.backend import EncodedPhoto, Predictions

# Of ONNX Runtime's levels of messages.
ERRORS_ALONE = 3
_opening, _pool_is_shared = Lock(), False


class OnnxBackend:
    """Photos are computed one by one; see `Backend`.

    A photo's memory and state are arrays: features (L, D) and their projection (L, A); hidden state and cell (rows, H).

    Args:
        encoder, step: sessions of the two graphs of `captioning/model/graphs.py`.
    """

    def __init__(self, encoder: onnxruntime.InferenceSession, step: onnxruntime.InferenceSession):
        # Of any type, for ONNX Runtime declares sparse tensors as results too.
        self._encoder: Any = encoder
        self._step: Any = step
        rows, columns, _ = self._encoder.get_outputs()[0].shape
        self.grid = (rows, columns)

    def encode(self, pixels: np.ndarray) -> list[EncodedPhoto]:
        photos = []
        for photo in pixels:
            features, projected, hidden, cell = self._encoder.run(None, {ENCODER_INPUTS[0]: photo[None]})
            memory = features.reshape(-1, features.shape[-1]), projected
            photos.append(EncodedPhoto(memory, (hidden, cell)))
        return photos

    def step(
        self,
        photos: Sequence[EncodedPhoto],
        states: Sequence[tuple[np.ndarray, np.ndarray]],
        parents: Sequence[np.ndarray],
        tokens: Sequence[np.ndarray],
        wanted: Sequence[np.ndarray],
        count: int,
    ) -> Predictions:
        found = [self._step_photo(*rows, count) for rows in zip(photos, states, parents, tokens, wanted, strict=True)]
        attention, after, values, candidates, asked = zip(*found, strict=True)
        results = (
            each[0] if len(each) == 1 else np.concatenate(each) for each in (attention, values, candidates, asked)
        )
        attention, values, candidates, asked = results
        return Predictions(attention, list(after), values, candidates, asked)

    def _step_photo(
        self,
        photo: EncodedPhoto,
        state: tuple[np.ndarray, np.ndarray],
        parents: np.ndarray,
        tokens: np.ndarray,
        wanted: np.ndarray,
        count: int,
    ) -> tuple:
        # States that several hypotheses continue attend once.
        continued = sorted(set(parents.tolist()))
        parents = np.searchsorted(continued, parents)
        hidden, cell = (tensor[continued] for tensor in state)
        inputs = (*photo.memory, hidden, cell, parents, tokens, wanted, np.array([count]))
        attention, hidden, cell, values, candidates, asked = self._step.run(
            None, dict(zip(STEP_INPUTS, inputs, strict=True))
        )
        return attention[parents], (hidden, cell), values, candidates, asked


def load_backend(info: CheckpointInfo, device: str, precision: str, threads: int) -> OnnxBackend:
    """The graphs of a checkpoint in this precision; for device and threads see `open_session`.

    Raises:
        CheckpointError: they may not be run, or ONNX Runtime cannot run them.
    """
    sessions = []
    for structure, weights in read_graphs(info, precision):
        try:
            sessions.append(open_session(structure, weights, device, threads))
        except Exception as error:  # ONNX Runtime's errors have no common class that is public.
            raise damaged(info.path, f"ONNX Runtime cannot run one of its graphs ({shown(error)})") from None
    return OnnxBackend(*sessions)


def read_graphs(info: CheckpointInfo, precision: str) -> Iterator[tuple[bytes, dict[str, np.ndarray]]]:
    """Structure and weights of a checkpoint's graphs in this precision, one after the other.

    Raises:
        CheckpointError: they may not be run, or the weights are not sound.
    """
    words, embedded = len(info.vocabulary), info.matrix_shape("decoder.embedding.weight")[0]
    if words != embedded:
        raise damaged(info.path, f"its vocabulary has {words:,} words and its decoder {embedded:,}")
    names = [graph_name(precision, graph) for graph in GRAPHS]
    if any(info.tensors[name].count > MAX_BYTES for name in names):
        raise damaged(info.path, f"one of its graphs has more than {MAX_BYTES:,} bytes")
    structures = [tensor.tobytes() for tensor in read_tensors(info, names).values()]
    try:
        used = check_model_graphs(info, **dict(zip(GRAPHS, structures, strict=True)))
    except ValueError as error:
        raise damaged(info.path, f"a graph in it is refused: {error}") from None
    for structure, weights in zip(structures, used, strict=True):
        yield structure, read_tensors(info, weights)


def pool_is_shared() -> bool:
    """Whether this process has the pool, so that ONNX Runtime opens no sessions beside it."""
    return _pool_is_shared


def open_session(
    structure: bytes, weights: Mapping[str, np.ndarray], device: str = "cpu", threads: int = 1
) -> onnxruntime.InferenceSession:
    """A session of a graph.

    Args:
        structure: the graph, serialized.
        weights: those that it does not have in itself, by name.
        device: `cpu` or a provider of ONNX Runtime.
        threads: of a pool that all sessions of the process share; 1 is the thread that asks, unless there is one.
    """
    values = {name: onnxruntime.OrtValue.ortvalue_from_numpy(array) for name, array in weights.items()}
    options = onnxruntime.SessionOptions()
    options.add_external_initializers(list(values), list(values.values()))
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", _empty_folder().name)
    options.log_severity_level = ERRORS_ALONE
    # Once a process has a pool, ONNX Runtime opens no sessions beside it that have threads of their own.
    if threads == 1 and not _pool_is_shared:
        options.intra_op_num_threads = 1
    else:
        _share_one_pool(threads)
        options.use_per_session_threads = False
    provider = "CPUExecutionProvider" if device == "cpu" else device
    return onnxruntime.InferenceSession(structure, options, providers=[provider])


def _share_one_pool(threads: int) -> None:
    """Have all sessions of the process share one pool of threads, for those of their own fight for the cores."""
    global _pool_is_shared
    with _opening:
        if not _pool_is_shared:
            onnxruntime.set_global_thread_pool_sizes(threads, 1)
            _pool_is_shared = True


@cache
def _empty_folder() -> tempfile.TemporaryDirectory:
    """Where a graph would find a file that it names as its weights; removed when the process ends."""
    return tempfile.TemporaryDirectory(prefix="captioning-")
