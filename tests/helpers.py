"""What several tests need."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from captioning.errors import CaptioningError
from captioning.model.model import CaptioningModel, ModelConfig

TINY = ModelConfig(
    encoder="tf_efficientnet_lite0",
    image_size=64,
    neck_size=8,
    embedding_size=8,
    attention_size=8,
    decoder_size=8,
)


@contextmanager
def refused(kind: type[CaptioningError], *naming: str) -> Iterator[None]:
    """The block raises this error, with a message of one sentence that names these things."""
    with pytest.raises(kind) as caught:
        yield
    message = str(caught.value)
    assert message.endswith(".")
    assert message.splitlines() == [message]
    for name in naming:
        assert name in message


def tiny_model(vocabulary_size: int = 12, seed: int = 0, config: ModelConfig = TINY) -> CaptioningModel:
    """A model with random weights, the same for the same seed."""
    torch.manual_seed(seed)
    return CaptioningModel(config, vocabulary_size).eval()


def make_photos(folder: Path, names: Iterable[str]) -> list[Path]:
    """Small photos of noise, each its own."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in names]
    for seed, path in enumerate(paths):
        blocks = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(blocks).resize((80, 60), Image.Resampling.BILINEAR).save(path)
    return paths
