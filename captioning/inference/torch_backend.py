"""The model's own modules as a backend: on a GPU, and wherever a model is trained."""

from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np
import torch

from captioning.checkpoint import CheckpointInfo
from captioning.errors import CaptioningError
from captioning.inference.backend import EncodedPhoto, Predictions
from captioning.model.decoder import AttendedState, Memory, State, speakable_log_probabilities
from captioning.model.encoder import photos_at_a_time
from captioning.model.model import CaptioningModel, load_model


def find_gpu() -> str | None:
    """`cuda` or `mps`, where PyTorch finds such a device."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else None


def load_backend(info: CheckpointInfo, device: str, precision: str, threads: int) -> "TorchBackend":
    """A checkpoint's model on a device, whose encoder computes in this precision.

    Raises:
        CheckpointError: the file is not sound.
        CaptioningError: there is no such device.
    """
    if device not in ("cpu", find_gpu()):
        raise CaptioningError(f"PyTorch finds no device {device} here: choose --device cpu.")
    if threads == 1:
        torch.set_num_threads(1)
    if precision == "float32":
        # Else convolutions on CUDA compute in TF32, with 10 bits after the point.
        torch.backends.cudnn.allow_tf32 = False
    model, _ = load_model(info.path)
    return TorchBackend(model.to(device), precision)


class TorchBackend:
    """Photos and rows are computed as one batch; see `Backend`.

    Args:
        model: in evaluation mode, on the device where it is to compute.
        precision: of the encoder, `float32`, `float16` or `bfloat16` (by autocast); the decoder computes in float32.
    """

    def __init__(self, model: CaptioningModel, precision: str = "float32"):
        self._model, self.grid = model, model.encoder.grid
        self._device = next(model.parameters()).device
        self._precision = getattr(torch, precision)

    @torch.inference_mode()
    def encode(self, pixels: np.ndarray) -> list[EncodedPhoto]:
        parts = torch.from_numpy(pixels).split(photos_at_a_time(self._device)) if len(pixels) else ()
        return [photo for part in parts for photo in self.start(self._features(part.to(self._device)))]

    @torch.inference_mode()
    def start(self, features: torch.Tensor) -> list[EncodedPhoto]:
        """Photos whose encoder features (N, L, encoder_channels) are known."""
        memory, state = self._model.decoder.start(features, rows=1)
        photos = zip(*memory, *state, strict=True)
        return [EncodedPhoto(Memory(*tensors[:2]), State(*tensors[2:])) for tensors in photos]

    @torch.inference_mode()
    def step(
        self,
        photos: Sequence[EncodedPhoto],
        states: Sequence[State],
        parents: Sequence[np.ndarray],
        tokens: Sequence[np.ndarray],
        wanted: Sequence[np.ndarray],
        count: int,
    ) -> Predictions:
        decoder = self._model.decoder
        memory = Memory(*map(torch.stack, zip(*(photo.memory for photo in photos), strict=True)))
        attended = decoder.attend(memory, State(*map(torch.stack, zip(*states, strict=True))))
        # Photos with fewer rows than others get rows that nobody reads.
        rows = np.arange(max(map(len, tokens))) < np.array([[len(each)] for each in tokens])
        chosen = self._padded(parents, rows)
        continued = AttendedState(
            _take(attended.attention, chosen),
            _take(attended.context, chosen),
            State(*(_take(tensor, chosen) for tensor in attended.state)),
        )
        read = self._padded(tokens, rows)
        state = decoder.advance(continued, read)
        log_probabilities = speakable_log_probabilities(decoder.predict(state.hidden), read)
        best = log_probabilities.topk(min(count, log_probabilities.shape[-1]))
        asked = log_probabilities.gather(-1, self._padded(wanted, rows))
        results = (continued.attention.float(), best.values, best.indices, asked)
        attention, values, indices, asked = (tensor.numpy(force=True)[rows] for tensor in results)
        return Predictions(attention, [State(*each) for each in zip(*state, strict=True)], values, indices, asked)

    def _features(self, pixels: torch.Tensor) -> torch.Tensor:
        reduced = self._precision != torch.float32
        with torch.autocast(self._device.type, self._precision) if reduced else nullcontext():
            return self._model.encoder(pixels).float()

    def _padded(self, arrays: Sequence[np.ndarray], rows: np.ndarray) -> torch.Tensor:
        """Arrays (rows, …) of each photo as one (N, most rows, …), zero where a photo has no such row."""
        padded = np.zeros((*rows.shape, *arrays[0].shape[1:]), dtype=np.int64)
        padded[rows] = np.concatenate(arrays)
        return torch.from_numpy(padded).to(self._device)


def _take(tensor: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Rows (N, R) of each photo's (N, S, …)."""
    return tensor.take_along_dim(rows.unsqueeze(-1), dim=1)
