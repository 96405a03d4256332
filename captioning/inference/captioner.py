"""A photo in, a `Caption` out."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image

from captioning.checkpoint import CheckpointInfo, load_checkpoint
from captioning.images import open_image, to_pixels
from captioning.inference.beam_search import Hypothesis, SearchOptions, beam_search
from captioning.inference.caption import Caption, RankedCaption, Seconds, Step
from captioning.model.encoder import CPU_BATCH_SIZE
from captioning.model.model import CaptioningModel
from captioning.vocabulary import END


@dataclass(frozen=True)
class EncodedPhotos:
    """The features (N, L, D) of N photos, from which captions of any beam width can be searched."""

    features: torch.Tensor
    seconds: float


class Captioner:
    """A model on a device, ready to caption.

    The encoder runs once for a photo (`encode`), the search as often as asked on its result (`describe`);
    calling the captioner does both.

    Args:
        model: from `load_checkpoint`.
        info: what its checkpoint says of it.
        device: where it runs; by default a GPU where there is one.
    """

    def __init__(self, model: CaptioningModel, info: CheckpointInfo, device: torch.device | str | None = None):
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model = model.to(self.device).eval()
        self.info = info

    @classmethod
    def from_checkpoint(cls, path: Path | str, device: torch.device | str | None = None) -> "Captioner":
        """Load a checkpoint.

        Raises:
            CheckpointError: the file is missing or not sound.
        """
        return cls(*load_checkpoint(path), device)

    def __call__(
        self, photo: Image.Image | str | Path | bytes | BinaryIO, options: SearchOptions | None = None
    ) -> Caption:
        """Caption one photo.

        Raises:
            ImageError: it cannot be read.
        """
        image = photo if isinstance(photo, Image.Image) else open_image(photo)
        return self.describe(self.encode([image]), options)[0]

    @torch.inference_mode()
    def encode(self, photos: Sequence[Image.Image]) -> EncodedPhotos:
        """Run the encoder on photos that `open_image` gave."""
        started = time.perf_counter()
        size = self.model.config.image_size
        pixels = torch.stack([to_pixels(photo, size) for photo in photos])
        batch = CPU_BATCH_SIZE if self.device.type == "cpu" else len(pixels)
        features = torch.cat([self.model.encoder(part.to(self.device)) for part in pixels.split(batch)])
        return EncodedPhotos(features, time.perf_counter() - started)

    def describe(self, photos: EncodedPhotos, options: SearchOptions | None = None) -> list[Caption]:
        """Search the captions of encoded photos."""
        started = time.perf_counter()
        found = beam_search(self.model.decoder, photos.features, options or SearchOptions())
        count = len(found)
        seconds = Seconds(photos.seconds / count, (time.perf_counter() - started) / count)
        return [self._caption(hypotheses, seconds) for hypotheses in found]

    def _caption(self, hypotheses: list[Hypothesis], seconds: Seconds) -> Caption:
        ranked = tuple(
            RankedCaption(self._text(hypothesis), hypothesis.log_probability, hypothesis.score)
            for hypothesis in hypotheses
        )
        return Caption(self._steps(hypotheses[0]), ranked, seconds)

    def _text(self, hypothesis: Hypothesis) -> str:
        return " ".join(self.info.vocabulary.decode(hypothesis.tokens))

    def _steps(self, best: Hypothesis) -> tuple[Step, ...]:
        words, grid = self.info.vocabulary.words, self.model.encoder.grid
        probabilities = np.exp(best.token_log_probabilities).tolist()
        alternatives = np.exp(best.alternative_log_probabilities).tolist()
        return tuple(
            Step(
                word=words[token],
                probability=probabilities[index],
                attention=best.attention[index].reshape(grid).astype(np.float32),
                alternatives=tuple(
                    (words[other], probability)
                    for other, probability in zip(
                        best.alternative_tokens[index].tolist(), alternatives[index], strict=True
                    )
                    if probability > 0
                ),
                end=token == END,
            )
            for index, token in enumerate(best.tokens)
        )
