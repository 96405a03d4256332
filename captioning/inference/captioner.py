"""A photo in, a `Caption` out."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image

from captioning.checkpoint import CheckpointInfo, load_checkpoint
from captioning.errors import CheckpointError, PrefixError, shown
from captioning.images import open_image, to_pixels
from captioning.inference.beam_search import BeamSearch
from captioning.inference.beam_tree import BeamTree, build_tree
from captioning.inference.caption import Caption, RankedCaption, Seconds, Step
from captioning.inference.options import PRECISIONS, SearchOptions
from captioning.inference.trace import Hypothesis
from captioning.model.encoder import CPU_BATCH_SIZE
from captioning.model.model import CaptioningModel
from captioning.model.packing import pack_layers
from captioning.model.search_decoder import SearchDecoder
from captioning.vocabulary import END, SPECIAL_TOKENS, UNK


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
        model: from `load_checkpoint`; it is changed so that it captions fast, and can no longer be trained.
        info: what its checkpoint says of it.
        device: where it runs; by default a GPU where there is one.
        precision: of the encoder's later half, one of PRECISIONS; by default float32 on a CPU and float16 elsewhere,
            which changes one caption in 200 of dev, measured on a CPU. All else computes in float32, and all of it
            where the encoder cannot be divided.

    Raises:
        ValueError: there is no such precision.
    """

    def __init__(
        self,
        model: CaptioningModel,
        info: CheckpointInfo,
        device: torch.device | str | None = None,
        precision: str | None = None,
    ):
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.precision = precision or ("float32" if self.device.type == "cpu" else "float16")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision is one of {', '.join(PRECISIONS)}")
        self.info = info
        self.parameters = {name: _count_parameters(part) for name, part in model.named_children()}
        model.to(self.device).eval()
        self.encoder, self.decoder = model.encoder, SearchDecoder(model.decoder)
        self.encoder.settle(getattr(torch, self.precision))
        if self.device.type == "cpu":
            pack_layers(self.decoder, few_rows=True)

    @classmethod
    def from_checkpoint(
        cls, path: Path | str, device: torch.device | str | None = None, precision: str | None = None
    ) -> "Captioner":
        """Load a checkpoint.

        Raises:
            CheckpointError: the file is missing or not sound.
        """
        return cls(*load_checkpoint(path), device, precision)

    def __call__(
        self, photo: Image.Image | str | Path | bytes | BinaryIO, options: SearchOptions | None = None
    ) -> Caption:
        """Caption one photo.

        Raises:
            ImageError: it cannot be read.
        """
        image = photo if isinstance(photo, Image.Image) else open_image(photo)
        return self.describe(self.encode([image]), options)[0]

    def pixels(self, photo: Image.Image) -> torch.Tensor:
        """A photo as the encoder reads it: uint8 (3, image_size, image_size)."""
        return torch.from_numpy(to_pixels(photo, self.info.config.image_size))

    @torch.inference_mode()
    def encode(self, photos: Sequence[Image.Image | torch.Tensor]) -> EncodedPhotos:
        """Run the encoder on photos that `open_image` gave, or on what `pixels` made of them."""
        started = time.perf_counter()
        pixels = torch.stack([self.pixels(photo) if isinstance(photo, Image.Image) else photo for photo in photos])
        batch = CPU_BATCH_SIZE if self.device.type == "cpu" else len(pixels)
        if self.device.type == "cuda":
            pixels = pixels.pin_memory()
        parts = pixels.split(batch)
        features = torch.cat([self.encoder(part.to(self.device, non_blocking=True)) for part in parts])
        return EncodedPhotos(features.float(), time.perf_counter() - started)

    def describe(
        self,
        photos: EncodedPhotos,
        options: SearchOptions | None = None,
        prefixes: Sequence[Sequence[str]] | None = None,
    ) -> list[Caption]:
        """Search the captions of encoded photos.

        Args:
            photos: from `encode`.
            options: how to search.
            prefixes: for each photo the words its caption begins with; `<end>` may be the last of several.

        Raises:
            PrefixError: a prefix has a word that the vocabulary lacks, or that cannot stand there.
            CheckpointError: the model's weights are such that its numbers overflow.
        """
        options = options or SearchOptions()
        started = time.perf_counter()
        trace = BeamSearch(self.decoder, photos.features, options, self._tokens(prefixes, options)).run()
        found = trace.hypotheses()
        if not all(found):
            raise CheckpointError(
                f"{shown(self.info.path.name)} computes numbers that are not finite: choose another checkpoint, "
                "or copy it anew."
            )
        count = len(found)
        seconds = Seconds(photos.seconds / count, (time.perf_counter() - started) / count)
        words = self.info.vocabulary.words
        return [
            self._caption(hypotheses, seconds, build_tree(trace, photo, words) if options.keep_tree else None)
            for photo, hypotheses in enumerate(found)
        ]

    def _tokens(self, prefixes: Sequence[Sequence[str]] | None, options: SearchOptions) -> list[list[int]] | None:
        """Ids of the words that captions are to begin with."""
        if prefixes is None:
            return None
        vocabulary = self.info.vocabulary
        tokens = []
        for prefix in prefixes:
            ended = bool(prefix) and prefix[-1] == SPECIAL_TOKENS[END]
            words = prefix[:-1] if ended else prefix
            ids = vocabulary.encode(words)[1:] if ended else vocabulary.encode(words)[1:-1]
            for word, token in zip(words, ids, strict=False):
                if token == UNK or word in SPECIAL_TOKENS:
                    raise PrefixError(f"A caption cannot begin with “{shown(word)}”, which this model has no word for.")
            for first, second in pairwise(words):
                if first == second:
                    raise PrefixError(f"A caption does not say “{shown(first)}” twice in a row: leave one out.")
            if ended and not words:
                raise PrefixError("A caption has at least one word: let it say something before it ends.")
            if len(ids) > options.max_steps:
                raise PrefixError(f"A caption cannot begin with more than {options.max_steps} words.")
            tokens.append(ids)
        return tokens

    def _caption(self, hypotheses: list[Hypothesis], seconds: Seconds, tree: BeamTree | None) -> Caption:
        ranked = tuple(
            RankedCaption(self._text(hypothesis), hypothesis.log_probability, hypothesis.score)
            for hypothesis in hypotheses
        )
        return Caption(self._steps(hypotheses[0]), ranked, seconds, tree)

    def _text(self, hypothesis: Hypothesis) -> str:
        return " ".join(self.info.vocabulary.decode(hypothesis.tokens))

    def _steps(self, best: Hypothesis) -> tuple[Step, ...]:
        words, grid = self.info.vocabulary.words, self.encoder.grid
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


def _count_parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
