"""Encoder and decoder as one model, and its way into a checkpoint file and out of it."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from captioning.checkpoint import CheckpointInfo, damaged, read_info, read_tensors, write_checkpoint
from captioning.config import ModelConfig
from captioning.errors import CheckpointError, shown
from captioning.model.decoder import AttentionDecoder
from captioning.model.encoder import ImageEncoder
from captioning.record import TrainingRecord
from captioning.vocabulary import Vocabulary


class CaptioningModel(nn.Module):
    """Photos in, words out: `encoder` gives the feature grid, `decoder` reads it.

    Args:
        config: the shapes.
        vocabulary_size: V.
        pretrained: start from the backbone's ImageNet weights.
    """

    def __init__(self, config: ModelConfig, vocabulary_size: int, *, pretrained: bool = False):
        super().__init__()
        self.config = config
        self.encoder = ImageEncoder(config.encoder, config.image_size, config.grid_size, pretrained=pretrained)
        self.decoder = AttentionDecoder(
            vocabulary_size=vocabulary_size,
            encoder_channels=self.encoder.channels,
            neck_size=config.neck_size,
            embedding_size=config.embedding_size,
            attention_size=config.attention_size,
            attention_activation=config.attention_activation,
            initial_activation=config.initial_activation,
            decoder_size=config.decoder_size,
            dropout=config.dropout,
            feature_dropout=config.feature_dropout,
        )


def save_model(
    path: Path,
    model: CaptioningModel,
    vocabulary: Vocabulary,
    training: TrainingRecord,
    graphs: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write a checkpoint: matrices in float16, vectors in float32.

    Args:
        path: of the file.
        model: its configuration and weights.
        vocabulary: its words.
        training: how it came to be.
        graphs: tensors `graph.*` to write beside the weights.

    Raises:
        CheckpointError: it cannot be written there.
    """
    tensors = {name: as_stored(tensor) for name, tensor in model.state_dict().items()}
    write_checkpoint(path, model.config, vocabulary, training, {**tensors, **(graphs or {})})


def load_model(path: Path | str) -> tuple[CaptioningModel, CheckpointInfo]:
    """The model in float32, in evaluation mode, and what the file says of it.

    Raises:
        CheckpointError: the file is missing, truncated, of another format, or does not agree with itself.
    """
    info = read_info(path)
    expected = _expected_tensors(info)
    tensors = {name: torch.from_numpy(array) for name, array in read_tensors(info, list(expected)).items()}
    model = CaptioningModel(info.config, len(info.vocabulary))
    model.load_state_dict(tensors)
    return model.eval(), info


def as_stored(tensor: torch.Tensor) -> np.ndarray:
    """A tensor as checkpoints hold it: matrices in float16, vectors in float32."""
    tensor = tensor.detach().cpu().contiguous()
    if tensor.is_floating_point():
        tensor = tensor.half() if tensor.ndim > 1 else tensor.float()
    return tensor.numpy()


def _expected_tensors(info: CheckpointInfo) -> dict[str, torch.Tensor]:
    """The model's tensors on the meta device, compared with those of the file before any weights are read."""
    try:
        expected = _meta_tensors(info.config, len(info.vocabulary))
    except (CheckpointError, RuntimeError, TypeError, ValueError) as error:
        raise damaged(info.path, f"its configuration builds no model ({shown(error)})") from None
    names = {name for name in info.tensors if not name.startswith("graph.")} ^ expected.keys()
    if names:
        name = shown(min(names))
        raise damaged(info.path, f"its tensors are not those of its configuration ({name} is missing or extra)")
    for name, tensor in expected.items():
        stored, wanted = info.tensors[name], tuple(tensor.shape)
        if stored.type not in (("F16", "F32") if tensor.is_floating_point() else ("I64",)):
            raise damaged(info.path, f"its weights {name} are stored as {stored.type}")
        if stored.shape != wanted:
            raise damaged(info.path, f"{name} has shape {shown(stored.shape)} where its description asks for {wanted}")
    return expected


@lru_cache(maxsize=8)
def _meta_tensors(config: ModelConfig, vocabulary_size: int) -> dict[str, torch.Tensor]:
    """Tensors that take no memory, so that a forged configuration costs nothing."""
    with torch.device("meta"):
        return CaptioningModel(config, vocabulary_size).state_dict()
