"""What several tests need."""

import csv
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from captioning import Captioner
from captioning.checkpoint import read_info
from captioning.config import ModelConfig
from captioning.errors import CaptioningError
from captioning.inference.caption import Caption
from captioning.inference.runtime import Runtime, open_backend
from captioning.inference.torch_backend import TorchBackend
from captioning.model.decoder import AttentionDecoder
from captioning.model.model import CaptioningModel

# Scores closer than this may come in either order.
TIE = 1e-4
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


def checkpoint_parts(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and metadata of a checkpoint."""
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118


def forge(sound: Path, path: Path, tensors: dict | None = None, metadata: dict | None = None) -> Path:
    """Write a sound checkpoint to a path with other tensors and metadata; None leaves one out."""
    parts = zip(checkpoint_parts(sound), (tensors, metadata), strict=True)
    forged = [
        {name: value for name, value in {**old, **(new or {})}.items() if value is not None} for old, new in parts
    ]
    save_file(forged[0], path, forged[1])
    return path


def random_decoder(vocabulary_size: int, seed: int = 0, neck_size: int | None = 5) -> AttentionDecoder:
    """A small decoder for features of six channels, whose weights are large enough for its choices to be far apart."""
    torch.manual_seed(seed)
    decoder = AttentionDecoder(
        vocabulary_size=vocabulary_size,
        encoder_channels=6,
        neck_size=neck_size,
        embedding_size=8,
        attention_size=7,
        attention_activation="tanh",
        initial_activation="tanh",
        decoder_size=9,
        dropout=0.5,
        feature_dropout=0.3,
    ).eval()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.normal_(0, 0.8)
    return decoder


@lru_cache
def _any_model() -> CaptioningModel:
    return tiny_model()


def decoder_backend(decoder: AttentionDecoder) -> TorchBackend:
    """A backend with this decoder, for features that are given to its `start`."""
    model = deepcopy(_any_model())
    model.decoder = decoder
    return TorchBackend(model)


def captioner_of(path: Path, library: str, device: str = "cpu") -> Captioner:
    """A checkpoint in float32."""
    info, runtime = read_info(path), Runtime(library, device, "float32")
    return Captioner(open_backend(info, runtime), info, runtime)


def assert_same(one: Caption, other: Caption) -> None:
    """Equal hypotheses in equal order, but for ties, and equal steps of the best."""
    assert len(one.hypotheses) == len(other.hypotheses)
    for first, second in zip(one.hypotheses, other.hypotheses, strict=True):
        assert first.score == pytest.approx(second.score, abs=TIE)
    texts = [found.text for found in other.hypotheses]
    for first, second in zip(one.hypotheses, other.hypotheses, strict=True):
        if first.text != second.text:
            # Where it is missing, it shared the last place with another.
            [score] = [found.score for found in other.hypotheses if found.text == first.text] or [
                other.hypotheses[-1].score
            ]
            assert first.score == pytest.approx(score, abs=TIE), texts
    if one.text == other.text:
        for first, second in zip(one.steps, other.steps, strict=True):
            assert (first.word, first.end) == (second.word, second.end)
            assert np.log(first.probability) == pytest.approx(np.log(second.probability), abs=TIE)
            np.testing.assert_allclose(first.attention, second.attention, atol=1e-4)
            assert [p for _, p in first.alternatives] == pytest.approx([p for _, p in second.alternatives], abs=1e-4)


def make_photos(folder: Path, names: Iterable[str]) -> list[Path]:
    """Small photos of noise, each its own."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in names]
    for seed, path in enumerate(paths):
        blocks = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(blocks).resize((80, 60), Image.Resampling.BILINEAR).save(path)
    return paths


def make_kaggle(folder: Path) -> Path:
    """Twenty-four photos of noise in the Kaggle layout, each with two captions."""
    photos = make_photos(folder / "Images", [f"{index}.png" for index in range(24)])
    with (folder / "captions.txt").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "caption"])
        for index, photo in enumerate(photos):
            color = ("red", "green", "blue")[index % 3]
            writer.writerow([photo.name, f"a {color} dog runs ."])
            writer.writerow([photo.name, f"the {color} dog number {index} runs on the grass"])
    return folder
