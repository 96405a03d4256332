"""The model's graphs in ONNX Runtime as a backend: on a CPU, without PyTorch."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import accumulate, pairwise
from threading import Lock
from typing import Any

import numpy as np
import onnxruntime

from captioning.checkpoint import GRAPHS, CheckpointInfo, damaged, graph_name, read_tensors
from captioning.errors import shown
from captioning.graph_check import check_model_graphs
from captioning.graph_check.check import MAX_BYTES
from captioning.graph_check.model import ENCODER_INPUTS, MOST_PHOTOS, STEP_INPUTS
from captioning.inference.backend import EncodedPhoto, Predictions

# Of several photos in one step; more rows take no less time each.
ROWS_AT_A_TIME = 32
# Of ONNX Runtime's levels of messages.
ERRORS_ALONE = 3
_opening, _pool_is_shared = Lock(), False


class OnnxBackend:
    """The encoder computes photos one by one, a step a few at a time; see `Backend`.

    A photo's memory and state are arrays: features (1, L, D) and their projection (1, L, A); hidden state and cell
    (rows, H).

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
            memory = features.reshape(1, -1, features.shape[-1]), projected[None]
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
        size = min(max(ROWS_AT_A_TIME // max(map(len, tokens)), 1), MOST_PHOTOS)
        if len(photos) <= size:
            return self._step_photos(photos, states, parents, tokens, wanted, count)
        parts = (slice(start, start + size) for start in range(0, len(photos), size))
        found = [
            self._step_photos(photos[part], states[part], parents[part], tokens[part], wanted[part], count)
            for part in parts
        ]
        attention, after, values, candidates, asked = zip(*found, strict=True)
        states = [state for part in after for state in part]
        return Predictions(_joined(attention), states, *map(_joined, (values, candidates, asked)))

    def _step_photos(
        self,
        photos: Sequence[EncodedPhoto],
        states: Sequence[tuple[np.ndarray, np.ndarray]],
        parents: Sequence[np.ndarray],
        tokens: Sequence[np.ndarray],
        wanted: Sequence[np.ndarray],
        count: int,
    ) -> Predictions:
        # States that several hypotheses continue attend once.
        continued = [sorted(set(each.tolist())) for each in parents]
        width = max(map(len, continued))
        chosen = [
            place * width + np.searchsorted(attended, each)
            for place, (attended, each) in enumerate(zip(continued, parents, strict=True))
        ]
        features, projected = (_joined(each) for each in zip(*(photo.memory for photo in photos), strict=True))
        hidden, cell = (_padded(each, continued, width) for each in zip(*states, strict=True))
        rows = (_joined(each) for each in (chosen, tokens, wanted))
        inputs = (features, projected, hidden, cell, *rows, np.array([count]))
        attention, hidden, cell, values, candidates, asked = self._step.run(
            None, dict(zip(STEP_INPUTS, inputs, strict=True))
        )
        ends = accumulate(map(len, tokens), initial=0)
        after = [(hidden[start:end], cell[start:end]) for start, end in pairwise(ends)]
        attention = attention.reshape(-1, attention.shape[-1])[_joined(chosen)]
        return Predictions(attention, after, values, candidates, asked)


def _joined(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _padded(states: Sequence[np.ndarray], continued: Sequence[Sequence[int]], width: int) -> np.ndarray:
    """Rows that are continued of each photo's (rows, H), as (N, width, H); photos with fewer get some of zeros."""
    if len(states) == 1:
        return states[0][None, continued[0]]
    padded = np.zeros((len(states), width, states[0].shape[1]), dtype=np.float32)
    for place, state, rows in zip(padded, states, continued, strict=True):
        place[: len(rows)] = state[rows]
    return padded


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
